import { existsSync } from 'node:fs';
import path from 'node:path';
import { LoraError } from '../shared/errors';
import { COMPANION_NAME } from './pins';
import { exec, lastLines, type ExecOptions } from './exec';

/**
 * The names that a virtual environment, pyenv, conda or the system put on the PATH. On Windows
 * python.org's installer adds its launcher alone, and python.exe can be a stub that fails.
 */
const PYTHONS = process.platform === 'win32' ? ['python', 'python3', 'py'] : ['python3', 'python'];

/**
 * Python imports modules from its working folder first: never run it in a workspace, only in a
 * folder of the installer.
 */
export type PythonOptions = ExecOptions & { readonly cwd: string; readonly signal: AbortSignal };

const FIND_TENSORFLOW =
  'import importlib.util as u, os; s = u.find_spec("tensorflow"); print(os.path.dirname(s.origin) if s and s.origin else "")';

/** Where an entry of TensorFlow's wheel is, given the folder of the installed package. */
export const inPackage = (tensorflow: string, entry: string): string =>
  entry.startsWith('tensorflow/')
    ? path.join(tensorflow, entry.slice('tensorflow/'.length))
    : path.join(path.dirname(tensorflow), entry);

/**
 * The TensorFlow of a local Python, if it has the libraries that the binding links to, given by
 * their entries in the wheel. Does not import TensorFlow.
 */
export async function findPythonTensorflow(
  entries: readonly string[],
  options: PythonOptions,
): Promise<{ python: string; folder: string } | null> {
  for (const python of PYTHONS) {
    const { exit, stdout } = await exec(python, ['-c', FIND_TENSORFLOW], options);
    const folder = stdout.trim();
    if (
      exit === 0 &&
      path.isAbsolute(folder) &&
      entries.every((entry) => existsSync(inPackage(folder, entry)))
    )
      return { python, folder };
  }
  return null;
}

/**
 * `pip download --no-deps` into the working folder: the user's own index, mirror and proxy apply.
 *
 * @throws LoraError('runtime') with pip's last lines, or 'cancelled'; ENOSPC.
 */
export async function pipDownload(
  requirement: string,
  flags: readonly string[],
  options: PythonOptions,
): Promise<void> {
  const python = await findPip(options);
  // pip's temporary files go into the folder too: they count as progress and are removed with it.
  // Nothing is installed, so no virtual environment is required.
  const env = { ...options.env, ...temporaryFolder(options.cwd), PIP_REQUIRE_VIRTUALENV: '0' };
  const { exit, stderr, stdout } = await exec(
    python,
    [
      '-m',
      'pip',
      'download',
      '--no-deps',
      '--disable-pip-version-check',
      '--no-input',
      '--progress-bar',
      'off',
      '--no-cache-dir',
      ...flags,
      '--dest',
      options.cwd,
      requirement,
    ],
    { ...options, env },
  );
  if (exit === 0) return;
  if (stderr.includes('No space left on device'))
    throw Object.assign(new Error(stderr), { code: 'ENOSPC' });
  throw new LoraError(
    'runtime',
    `pip could not download ${requirement}: ${lastLines(stderr || stdout)}`,
    {
      fix: "Check the network and pip's configuration, then try again.",
    },
  );
}

/** Python looks at these variables in this order, on every system. */
const temporaryFolder = (folder: string) => ({ TMPDIR: folder, TEMP: folder, TMP: folder });

async function findPip({ cwd, env, signal }: PythonOptions): Promise<string> {
  for (const python of PYTHONS) {
    if ((await exec(python, ['-m', 'pip', '--version'], { cwd, env, signal })).exit === 0)
      return python;
  }
  throw new LoraError('runtime', 'No Python with pip was found to download libtensorflow.', {
    fix: `Install Python 3 with pip, which is needed for this download only. The extension ${COMPANION_NAME} needs none. Or set lora.runtime.path to a folder with libtensorflow.`,
  });
}
