#!/bin/bash
# Runs once, in an empty database server: a role that owns the tables, and one that the endpoint connects as and that owns nothing.
set -euo pipefail
psql --set=ON_ERROR_STOP=1 --username "$POSTGRES_USER" \
  --set=owner_password="$COVEN_OWNER_PASSWORD" --set=app_password="$COVEN_APP_PASSWORD" <<'SQL'
CREATE ROLE coven_owner LOGIN PASSWORD :'owner_password';
CREATE ROLE coven_app LOGIN PASSWORD :'app_password';
CREATE DATABASE coven OWNER coven_owner;
REVOKE ALL ON DATABASE coven FROM PUBLIC;
GRANT CONNECT ON DATABASE coven TO coven_app;
SQL
