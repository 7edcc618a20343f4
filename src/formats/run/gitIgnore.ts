import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { refuseLinks } from '../../common/withoutLinks';
import { RUNS_FOLDER } from '../../shared/run';

const [LORA_FOLDER, RUNS] = RUNS_FOLDER.split('/') as [string, string];

const CONTENT = `# Written by LoRA Workbench. Runs hold checkpoints and weights of gigabytes, so git does not see them;
# they stay where they are when you change branches. Recipes of sweeps and prompts are not ignored.
# This file ignores itself, so that it is there on every branch. Edit it as you like.
/${RUNS}/
/.gitignore
`;

/**
 * Makes git ignore the runs in the .lora folder that contains `folder`. Does nothing outside of
 * such a folder, or where it has a .gitignore already. Ignores errors: no run depends on it.
 */
export async function keepRunsOutOfGit(folder: string): Promise<void> {
  const lora = loraFolderOf(path.resolve(folder));
  if (lora === null) return;
  await refuseLinks(lora)
    .then(() => writeFile(path.join(lora, '.gitignore'), CONTENT, { flag: 'wx' }))
    .catch(() => undefined);
}

function loraFolderOf(folder: string): string | null {
  for (let dir = folder; ; dir = path.dirname(dir)) {
    if (path.basename(dir) === LORA_FOLDER) return dir;
    if (dir === path.dirname(dir)) return null;
  }
}
