-- The first rows of the practice, by an ordinary program.

INSERT INTO "order"."user" (id, "Name", "group", "default", "from", card, rights, "check", since) VALUES
    (1, 'Dr. Ünal', 'vets', true, '192.168.7.0/24', '08:00:2b:01:02:03', B'1011', 'a', '2011-02-03'),
    (2, 'Sørensen, "Bo"', 'vets', false, '::1', NULL, B'', 'abc', 'infinity'),
    (3, 'O''Hara', 'assistants', false, NULL, NULL, B'0', NULL, '0044-03-15 BC');
SELECT setval(pg_get_serial_sequence('"order"."user"', 'id'), 100);

INSERT INTO "Field Practice"."Species" VALUES
    ('bos', 'Bos taurus', '{38.0,39.3}', '[0.5,12.25)'), ('ovis', 'Ovis aries', '{38.3,NULL}', 'empty'),
    ('equus', 'Equus caballus', NULL, '(,7.50]');

INSERT INTO "Field Practice"."Owner" ("Id", "Name", "E-Mail", phones, farm, "Balance", credit, "Updated") VALUES
    ('6f1d7f8a-3b1c-4e6f-9a53-8f5b0c9e2d11', 'Łukasz Zając', 'l@example.org', '{"+48 1","NULL",NULL}',
     ROW ('Stare "Sioło"', 7), 12.50, 100, '2026-01-02 03:04:05.678901+02'),
    ('11111111-1111-1111-1111-111111111111', 'שרה כהן', 's@example.org', '{}', NULL, -0.10, NULL, '2026-03-29 02:30:00+01'),
    ('22222222-2222-2222-2222-222222222222', '', NULL, '{""}', ROW (NULL, NULL), 0, '-0.05', '-infinity');

INSERT INTO "Field Practice"."Animal"
    ("Id", "Owner", species, "Mother", "Vet", "Ear Tag", name, sex, seen, born, weight, "Weight kg", speed, gait, "json",
     traits, photo, chip)
SELECT ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid,
       (ARRAY['6f1d7f8a-3b1c-4e6f-9a53-8f5b0c9e2d11', '11111111-1111-1111-1111-111111111111'])[1 + n % 2]::uuid,
       (ARRAY['bos', 'ovis', 'equus'])[1 + n % 3],
       CASE WHEN n > 10 THEN ('00000000-0000-4000-8000-' || lpad((n - 10)::text, 12, '0'))::uuid END,
       1 + n % 3, 9007199254740993 + n, 'Cow ' || n || ' 🐄', (ARRAY['female', 'male'])[1 + n % 2]::"Field Practice"."Sex",
       CASE n % 3 WHEN 0 THEN NULL WHEN 1 THEN '{}'::"Field Practice"."Urgency"[] ELSE '{NOW,NULL,soon}' END,
       date '2020-02-29' + n, n * 1.10, n + 0.05, CASE WHEN n % 7 = 0 THEN 'NaN' ELSE n / 3.0 END,
       n / 7.0, '{"b": 1,  "a": [1.50, -0.0]}', jsonb_build_object('n', n, 'x', 1.50), decode(lpad(to_hex(n), 4, '0'), 'hex'),
       '<tag n="1">&lt;</tag>'
  FROM generate_series(1, 60) AS n;

INSERT INTO "Field Practice"."Visit" (id, "Animal", vet, during, "when", local, lasting, "time", zoned, fever, urgency, "where", again, spoken)
SELECT n, ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid, 1 + n % 3,
       tstzrange(timestamptz '2026-05-01 08:00Z' + n * interval '1 h', timestamptz '2026-05-01 08:30Z' + n * interval '1 h'),
       timestamptz '2026-05-01 08:00Z' + n * interval '1 h', timestamp '2026-10-25 02:30', interval '1 mon -2 days 03:04:05.6',
       '12:34:56.789', '24:00:00+05:30', 37.5 + n % 4, 'soon', point(n, -0.5), '{"[2026-01-01,2026-02-01)",empty}', 'moo ' || n
  FROM generate_series(1, 40) AS n;
SELECT setval(pg_get_serial_sequence('"Field Practice"."Visit"', 'id'), 5000);

INSERT INTO "order"."Item" VALUES
    ('PEN-10', 'Penicillin', 40, 12.30, '[2026-01-01,2027-01-01)', '{"a \"b\" \\ {c},",NULL}', '{1.50,-0.10}', '{{1,2},{3,4}}'),
    ('KET', 'Ketamine', 0, 99999.99, NULL, NULL, NULL, '{}'), ('SALINE', 'Saline', 999, 0.05, 'empty', '{}', '{}', NULL);
INSERT INTO "order"."table" ("no", "year", "Owner", printed) SELECT n, 2026, '6f1d7f8a-3b1c-4e6f-9a53-8f5b0c9e2d11', '2026-05-01 10:00:00.123'
  FROM generate_series(1, 12) AS n;
INSERT INTO "order"."Line" ("year", "no", "column", item, visit, quantity, price)
SELECT 2026, n, c, (ARRAY['PEN-10', 'KET', 'SALINE'])[c], n, c * 1.25, n * 2.10
  FROM generate_series(1, 12) AS n, generate_series(1, 3) AS c;

INSERT INTO "Field Practice"."Reading" ("Animal", at, pulse, raw)
SELECT ('00000000-0000-4000-8000-' || lpad((1 + n % 40)::text, 12, '0'))::uuid, timestamptz '2024-12-30Z' + n * interval '3 days',
       40 + n % 30, decode(repeat('00ff', n % 5), 'hex')
  FROM generate_series(1, 200) AS n;

INSERT INTO "Field Practice"."Box" SELECT 'North', n FROM generate_series(1, 9) AS n;
INSERT INTO "Field Practice"."Stay" SELECT ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid, 'North', n FROM generate_series(1, 6) AS n;
INSERT INTO "Field Practice"."Herd" VALUES (1, NULL, 'Hill'), (2, NULL, 'Valley');
INSERT INTO "Field Practice"."Member" SELECT ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid, 1 + n % 2 FROM generate_series(1, 20) AS n;
UPDATE "Field Practice"."Herd" SET leader = '00000000-0000-4000-8000-000000000002' WHERE id = 1;
INSERT INTO "Field Practice"."Note" (id, body) VALUES ('33333333-3333-4333-8333-333333333333', E'tab\t, \\N, "q"');
INSERT INTO "order"."Note" (id, body) VALUES ('33333333-3333-4333-8333-333333333333', 'the other one');
INSERT INTO "order"."Rate" VALUES (7.0, 'low'), (19, 'high'), (0.00, 'none');
INSERT INTO "order"."Rated" VALUES ('PEN-10', 7), ('KET', 19.00), ('SALINE', 0);
INSERT INTO "Field Practice"."Scratch" VALUES ('milk the goat'), ('milk the goat');
INSERT INTO "Field Practice"."Form" VALUES (1, 'x');
INSERT INTO "Field Practice"."Form of 2026" VALUES (2, 'y', 'z');
REFRESH MATERIALIZED VIEW "order"."Turnover";
