#!/bin/bash
# Roles and passwords of the database. PostgreSQL's image runs this at the first start. After a change of
# passwords: docker compose exec postgres bash /docker-entrypoint-initdb.d/roles.sh
#
# breakwater_owner    migrate: owns the tables, is no superuser
# breakwater_worker   writes registrations      \
# breakwater_web      reads, and keeps sessions  > their rights on each table: grants.sql
# breakwater_toolbox  an operator's commands    |
# breakwater_courier  sends codes by SMS        /
psql --no-psqlrc --quiet -v ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" <<'SQL'
\set database `printf %s "$POSTGRES_DB"`
\set owner `cat /run/secrets/postgres_owner`
\set worker `cat /run/secrets/postgres_worker`
\set web `cat /run/secrets/postgres_web`
\set toolbox `cat /run/secrets/postgres_toolbox`
\set courier `cat /run/secrets/postgres_courier`
SELECT format('CREATE ROLE %I LOGIN', name)
  FROM unnest(ARRAY['breakwater_owner', 'breakwater_worker', 'breakwater_web', 'breakwater_toolbox', 'breakwater_courier']) AS name
  WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) \gexec
ALTER ROLE breakwater_owner PASSWORD :'owner';
ALTER ROLE breakwater_worker PASSWORD :'worker';
ALTER ROLE breakwater_web PASSWORD :'web';
ALTER ROLE breakwater_toolbox PASSWORD :'toolbox';
ALTER ROLE breakwater_courier PASSWORD :'courier';
ALTER DATABASE :"database" OWNER TO breakwater_owner;
ALTER SCHEMA public OWNER TO breakwater_owner;
REVOKE ALL ON DATABASE :"database" FROM PUBLIC;
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT CONNECT ON DATABASE :"database" TO breakwater_worker, breakwater_web, breakwater_toolbox, breakwater_courier;
GRANT USAGE ON SCHEMA public TO breakwater_worker, breakwater_web, breakwater_toolbox, breakwater_courier;
-- Which standbys have what (docs/high-availability.md).
GRANT pg_read_all_stats TO breakwater_web, breakwater_toolbox;
-- The limits that each connection asks for, for those that a pooler opens (POSTGRES_POOLER=on).
ALTER ROLE breakwater_worker SET statement_timeout = '10s';
ALTER ROLE breakwater_worker SET lock_timeout = '3s';
ALTER ROLE breakwater_web SET statement_timeout = '10s';
ALTER ROLE breakwater_web SET lock_timeout = '3s';
ALTER ROLE breakwater_courier SET statement_timeout = '10s';
ALTER ROLE breakwater_courier SET lock_timeout = '3s';
SQL
