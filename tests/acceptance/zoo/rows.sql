INSERT INTO cage (short, long, pos, flag, single, double, plain, scaled, rounded, cash, note, code, padded, ident, "one", ci, mail, mails,
    raw, moment, wall, coarse, day, clock, zoned, span, doc, docb, path, kind, kinds, numbers, matrix, moments, docs, home, homes, pairs, tree,
    bits, varbits, markup, years, spells, host, net, mac, spot, shape, words, query, obj, rel, lsn, tx) VALUES
(-32768, 9223372036854775807, 7, true, 1e-40, 5e-324, 'NaN', 99999999.99, 12345, -1234.56, E'tab\t \\N 😀', 'x', 'ab', 'nm', 'c', 'Abc', 'A@b.C',
    '{a@b}', '\x00ff', 'infinity', '0044-03-15 BC', '2024-01-01 10:00:00', '-infinity', '24:00', '23:59:59.999999-15:59',
    '1 year -2 mons 3 days -04:05:06.789', '{"a": 1.0,  "a": 2}', '{"b":1e3,"a":12345678901234567890.1}', '$.a[*] ? (@.b > 1)', '大',
    '{"very ''large''",NULL}', '{{1,2},{3,NULL}}', '{NaN,Infinity,-0,0.1}', '{"2020-01-01 00:00+02",infinity}', '{"{\"a\": 1}",null}',
    '("a ""b"", c",5)', '{"(x,1)",NULL}', 'a=>1,"b c"=>NULL', 'Top.A', '1010', '1', '<a>&lt;ü</a>', '[1,5)', '{[2020-01-01,2020-02-01)}', '::1/64',
    '10.0.0.0/8', '08:00:2b:01:02:03', '(1.5,-0)', '((0,0),(1,1),(1,0))', 'a:1A b:2', 'a & !b', 4294967295, 'pg_class', '16/B374D848', '18446744073709551615'),
(0, 0, NULL, false, '-0', '-0', 1e-40, 0, NULL, 0, '', '', '', '', '', 'def', NULL, '{}', '', '9999-12-31 23:59:59.999999Z', '2024-02-29 12:00:00.000001', NULL,
    '2024-02-29', '00:00', '00:00+00', '-00:00:00.000001', 'null', '[]', '$', 'small', '{}', '{}', '{}', '{}', '{}', '(,)', '{}', '', '', '0000', '', NULL, 'empty',
    '{}', '10.0.0.1', '::/0', NULL, NULL, NULL, '', '', 0, NULL, '0/0', '0'),
(NULL, NULL, NULL, NULL, 'Infinity', 'NaN', 'Infinity', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, repeat('长', 300), NULL, NULL, decode(repeat('00', 50000), 'hex'),
    '2020-06-01 12:00+05:45', NULL, NULL, NULL, NULL, NULL, 'P1000Y', NULL, '"\u00e9\ud83d\ude00"', NULL, NULL, NULL, '[2:3]={7,8}', NULL, NULL, NULL, NULL, NULL, NULL,
    NULL, NULL, NULL, NULL, '(,)', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
UPDATE cage SET numbers = NULL WHERE numbers = '[2:3]={7,8}';

INSERT INTO key_text VALUES ('', '1'), (' ', '2'), ('a', '3'), ('A', '4'), ('a ', '5'), ('ä', '6'), (U&'a\0308', '7'), ('😀', '8');
INSERT INTO key_ci VALUES ('Abc', 'x');
INSERT INTO key_number VALUES (1.00, '1'), ('NaN', '2'), (1e20, '3'), (-0.5, '4'), (10, '5'), (9, '6');
INSERT INTO key_price VALUES (1, '1'), (10.50, '2'), (9, '3');
INSERT INTO key_float VALUES ('-0', '1'), ('NaN', '2'), ('Infinity', '3'), (0.1, '4'), (100, '5');
INSERT INTO key_moment VALUES ('infinity', '1'), ('2020-01-01Z', '2'), ('0044-01-01 BC', '3'), ('2020-01-01 00:00:00.000001Z', '4');
INSERT INTO key_wall VALUES ('2020-01-01 10:00', '2020-01-01', '1'), ('-infinity', 'infinity', '2'), ('2020-01-01 10:00:00.5', '2020-01-01', '3');
INSERT INTO key_padded VALUES ('ab', '1'), ('', '2');
INSERT INTO key_flag VALUES (true, '10:00', '1'), (false, '24:00', '2'), (false, '10:00:00.25', '3');
INSERT INTO key_raw VALUES ('', '1'), ('\x00', '2');
INSERT INTO key_kind VALUES ('大', '1');
INSERT INTO key_host VALUES ('10.0.0.1', '1'), ('10.0.0.0/8', '2');
INSERT INTO key_array VALUES ('{}', '1'), ('{1,2}', '2');
INSERT INTO key_range VALUES ('[1,3]', '1'), ('empty', '2');
INSERT INTO key_doc VALUES ('{"a":1}', '1'), ('null', '2');
INSERT INTO key_span VALUES ('1 day', '1'), ('24:00:01', '2');
INSERT INTO only_key SELECT generate_series(1, 9);
INSERT INTO pair VALUES (1, 2), (3, 4);
INSERT INTO keeper VALUES (1, 1, 1, 1, 'self'), (1, 2, 1, 1, 'b'), (2, 1, 1, 2, 'c');
INSERT INTO booking (id, room, during) VALUES (1, 1, '[2020-01-01,2020-01-02)');
INSERT INTO part SELECT i, CASE WHEN i % 2 = 0 THEN 'eu' ELSE 'us' END, 'x' FROM generate_series(1, 20) i;
INSERT INTO "Odd Table" VALUES (1, 's', 'a', 'u', 5, 'x', 1, 'p');
INSERT INTO given (id) VALUES (1);
