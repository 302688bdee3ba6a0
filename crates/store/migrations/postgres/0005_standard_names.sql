-- Twin of migrations/sqlite/0005. Tables and columns by the names that the code uses for them.
ALTER TABLE duties RENAME TO job_runs;
ALTER TABLE job_runs RENAME COLUMN begun_at TO started_at;
ALTER INDEX duties_pkey RENAME TO job_runs_pkey;
ALTER TABLE sessions RENAME COLUMN proved_at TO authenticated_at;
ALTER TABLE sessions RENAME COLUMN origin TO client_ip;
ALTER TABLE audit RENAME COLUMN origin TO source;
