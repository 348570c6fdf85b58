-- A published table with a column of every type that a parameter can be compared with.
CREATE SCHEMA contract;
CREATE TABLE contract.things (
    id bigint PRIMARY KEY,
    name text NOT NULL,
    price numeric(12, 2) NOT NULL,
    ratio double precision,
    active boolean NOT NULL,
    made_on date NOT NULL,
    seen_at timestamptz NOT NULL,
    code uuid NOT NULL,
    tags text[],
    raw jsonb,
    owner text NOT NULL
);
INSERT INTO contract.things
SELECT n, 'thing ' || n, n / 8.0, CASE WHEN n % 7 > 0 THEN n / 3.0 END, n % 2 = 0, date '2020-01-01' + n,
    timestamptz '2020-01-01' + n * interval '1 hour', md5(n::text)::uuid, CASE WHEN n % 3 > 0 THEN ARRAY['a', 'b' || n] END,
    jsonb_build_object('n', n, 'x', ARRAY[n, NULL]), CASE WHEN n % 2 = 0 THEN 'even' ELSE 'odd' END
FROM generate_series(1, 2000) AS n;
CREATE INDEX ON contract.things (name);
CREATE INDEX ON contract.things (code);
CREATE INDEX ON contract.things (seen_at);
ANALYZE contract.things;
GRANT USAGE ON SCHEMA contract TO PUBLIC;
GRANT SELECT ON contract.things TO PUBLIC;
INSERT INTO millrace.published (schema, relation, source, version, files, layout, run)
VALUES ('contract', 'things', 'tables/contract/things', 1, 'f', 'l', 'contract-1');
