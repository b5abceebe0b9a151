"""What tests share: servers, schemas, worlds."""
