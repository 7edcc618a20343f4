import { existsSync } from 'node:fs';
import path from 'node:path';
import { exec, lastLines, type ExecOptions } from './exec';
import { LoraError } from '../shared/errors';

const CANDIDATES = process.platform === 'win32' ? [['py', '-3'], ['python']] : [['python3'], ['python']];

/** The first Python 3 on the path that has pip, as a command with its leading arguments; null where there is none. */
export async function findPython(options: ExecOptions = {}): Promise<readonly string[] | null> {
  for (const [command, ...args] of CANDIDATES) {
    if (command === undefined) continue;
    const { code } = await exec(command, [...args, '-m', 'pip', '--version'], options);
    if (code === 0) return [command, ...args];
  }
  return null;
}

const FIND_TENSORFLOW = 'import importlib.util as u, os; s = u.find_spec("tensorflow"); print(os.path.dirname(s.origin) if s and s.origin else "")';

/** The folder of the TensorFlow that a local Python has, if its libraries are the kind that the binding links to. */
export async function findPythonTensorflow(libraries: readonly string[], options: ExecOptions = {}): Promise<string | null> {
  const python = await findPython(options);
  if (!python) return null;
  const [command, ...args] = python;
  const { code, stdout } = await exec(command!, [...args, '-c', FIND_TENSORFLOW], options);
  const folder = stdout.trim();
  return code === 0 && folder && libraries.every((name) => existsSync(path.join(folder, name))) ? folder : null;
}

/** `pip download --no-deps` into a folder, so that the user's own index, mirror and proxy apply. Errors: LoraError('runtime') with pip's last lines. */
export async function pipDownload(requirement: string, flags: readonly string[], folder: string, options: ExecOptions): Promise<void> {
  const python = await findPython(options);
  if (!python) {
    throw new LoraError('runtime', 'No Python with pip was found, which fetches libtensorflow.', {
      fix: 'Install Python 3 with pip, or set lora.runtime.path to a folder with libtensorflow. Python is needed for this download only.',
    });
  }
  const [command, ...args] = python;
  const { code, stderr, stdout } = await exec(command!, [...args, '-m', 'pip', 'download', '--no-deps', '--disable-pip-version-check', '--no-input', '--progress-bar', 'off',
    '--no-cache-dir', ...flags, '--dest', folder, requirement], { ...options, env: { TMPDIR: folder, TEMP: folder } });
  if (code !== 0) throw new LoraError('runtime', `pip could not download ${requirement}: ${lastLines(stderr || stdout)}`, { fix: 'Check the network and pip\'s configuration, then try again.' });
}
