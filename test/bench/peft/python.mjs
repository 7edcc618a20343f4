import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import path from 'node:path';
import { programPath } from '../../../scripts/programs.mjs';

/** A Python environment with PyTorch and PEFT, created once. */
export function peftPython() {
  const venv = path.join(homedir(), '.cache', 'lora-workbench', 'peft-venv');
  const python = path.join(venv, 'bin', 'python');
  if (!existsSync(python)) {
    execFileSync(programPath('python3'), ['-m', 'venv', venv], { stdio: 'inherit' });
    execFileSync(
      path.join(venv, 'bin', 'pip'),
      ['install', '-q', '-r', path.join(import.meta.dirname, 'requirements.txt')],
      { stdio: 'inherit' },
    );
  }
  return python;
}
