-- The roles of a ledger in PostgreSQL, with no more rights than each needs. Run it as a user that may create roles, in
-- the ledger's database, before the first `batch-upload ledger migrate` and once more behind it:
--
--     psql -v ON_ERROR_STOP=1 -d batch_upload -f roles.sql
--
-- It may be run again at any time: it takes away what is not listed here.
--
--   batch_upload_owner    owns the tables, and makes and updates them (`batch-upload ledger migrate`)
--   batch_upload_worker   uploads: it cannot change or delete what happened (`attempt`, `outcome` and those of `bind_`), nor any table
--   batch_upload_reader   `status`, `why`, `report`, `watch`, `fleet status`: reads
--
-- They have no password. Give them one (`\password batch_upload_worker`), or on RDS: GRANT rds_iam TO batch_upload_worker;

DO $$
DECLARE
  wanted text;
BEGIN
  FOREACH wanted IN ARRAY ARRAY['batch_upload_owner', 'batch_upload_worker', 'batch_upload_reader'] LOOP
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted) THEN
      EXECUTE format('CREATE ROLE %I LOGIN', wanted);
    END IF;
  END LOOP;
  EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
  EXECUTE format('GRANT CONNECT ON DATABASE %I TO batch_upload_owner, batch_upload_worker, batch_upload_reader',
                 current_database());
  -- the settings are those of each session of a role, through a pooler, too
  EXECUTE format('ALTER ROLE batch_upload_reader IN DATABASE %I SET default_transaction_read_only = on',
                 current_database());
  EXECUTE format('ALTER ROLE batch_upload_reader IN DATABASE %I SET statement_timeout = %L', current_database(), '5min');
  EXECUTE format('ALTER ROLE batch_upload_worker IN DATABASE %I SET statement_timeout = %L', current_database(), '10s');
  EXECUTE format('ALTER ROLE batch_upload_worker IN DATABASE %I SET lock_timeout = %L', current_database(), '5s');
  EXECUTE format('ALTER ROLE batch_upload_worker IN DATABASE %I SET idle_in_transaction_session_timeout = %L',
                 current_database(), '15s');
  EXECUTE format('ALTER ROLE batch_upload_worker IN DATABASE %I SET synchronous_commit = on', current_database());
  EXECUTE format('ALTER ROLE batch_upload_owner IN DATABASE %I SET lock_timeout = %L', current_database(), '5s');
END
$$;

REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT CREATE, USAGE ON SCHEMA public TO batch_upload_owner;
GRANT USAGE ON SCHEMA public TO batch_upload_worker, batch_upload_reader;

-- What is there already. The tables of the queue (`procrastinate_…`, `fleet_…`) are there only for `batch-upload fleet`.
DO $$
DECLARE
  found text;
BEGIN
  FOR found IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' LOOP
    EXECUTE format('REVOKE ALL ON public.%I FROM PUBLIC, batch_upload_worker, batch_upload_reader', found);
    EXECUTE format('GRANT SELECT ON public.%I TO batch_upload_worker, batch_upload_reader', found);
    CASE
      WHEN found IN ('attempt', 'outcome', 'bind_attempt', 'bind_outcome') THEN
        EXECUTE format('GRANT INSERT ON public.%I TO batch_upload_worker', found);
      WHEN found IN ('lane', 'target', 'run', 'item', 'rate', 'field_definition') THEN
        EXECUTE format('GRANT INSERT, UPDATE ON public.%I TO batch_upload_worker', found);
      WHEN found = 'stranger' OR found LIKE 'procrastinate\_%' OR found LIKE 'fleet\_%' THEN
        EXECUTE format('GRANT INSERT, UPDATE, DELETE ON public.%I TO batch_upload_worker', found);
      ELSE NULL;
    END CASE;
  END LOOP;
  FOR found IN SELECT sequencename FROM pg_sequences WHERE schemaname = 'public' AND sequencename LIKE 'procrastinate\_%' LOOP
    EXECUTE format('GRANT USAGE ON SEQUENCE public.%I TO batch_upload_worker', found);
  END LOOP;
END
$$;
