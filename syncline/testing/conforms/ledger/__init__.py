"""What every central database keeps of Syncline's own: replicas, conflicts, large pushes, the clock."""
