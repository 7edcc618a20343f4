// Python with Ray and what engine/ray/train.py needs, in the user's cache.
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createHash } from 'node:crypto';
import { homedir } from 'node:os';
import path from 'node:path';
import { programPath } from '../../scripts/programs.mjs';

const root = path.resolve(import.meta.dirname, '../..');
const requirements = path.join(root, 'engine', 'ray', 'requirements.txt');
/** The version of the cluster: workers have the Ray of the node that they run on. */
const RAY = 'ray[default]==2.60.0';

/** The Python of the environment, which is installed when it is needed first. */
export function trainerPython() {
  const given = process.env.LORA_TRAINER_PYTHON;
  if (given !== undefined) return given;
  const key = createHash('sha256').update(RAY).update(readFileSync(requirements)).digest('hex');
  const folder = path.join(homedir(), '.cache', 'lora-workbench', 'ray', key.slice(0, 12));
  const program = path.join(folder, 'bin', 'python');
  const complete = path.join(folder, 'complete');
  if (existsSync(complete)) return program;
  // in place: an environment's scripts name its folder
  rmSync(folder, { recursive: true, force: true });
  const run = (file, ...args) =>
    execFileSync(file, args, { stdio: ['ignore', 'inherit', 'inherit'] });
  run(programPath('python3'), '-m', 'venv', folder);
  const pip = ['-m', 'pip', 'install', '--quiet', '--only-binary=:all:'];
  run(program, ...pip, RAY, '-r', requirements);
  writeFileSync(complete, '');
  return program;
}
