import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

/** The variables that name the folder for temporary files, here and on Windows. */
const VARIABLES = ['TMPDIR', 'TEMP', 'TMP'];

/** Gives a project's tests a folder for temporary files of their own, and removes it afterwards. */
export default function setup(): () => void {
  const folder = mkdtempSync(path.join(tmpdir(), 'lora-tests-'));
  chmodSync(folder, 0o755); // some tests start programs as another user
  for (const name of VARIABLES) process.env[name] = folder;
  return () => {
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  };
}
