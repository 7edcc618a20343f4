import { stat } from 'node:fs/promises';
import path from 'node:path';
import { listFolder } from '../../common/regularFile';
import { LoraError } from '../../shared/errors';
import type { SentSource } from './itemFiles';

/** What of dist/ a training run needs; the bindings are of the platforms that this build has. */
const NEEDED =
  /^(?:cli|worker|probe|storage|tfjs-node|tfjs-wasm)\.js$|^tfjs-backend-wasm.*\.(?:wasm|js)$/;
const NEEDED_FOLDERS = { lib: /\.js$/, binding: /\.node$/ } as const;

/** The files of the engine, without source maps and pages. @throws LoraError('target') */
export async function engineFiles(dist: string): Promise<readonly SentSource[]> {
  const files = (await filesBelow(dist, '')).filter(isNeeded);
  if (files.some(({ path: name }) => name === 'cli.js')) return files;
  throw new LoraError('target', 'The engine to send is missing.', {
    place: { file: path.join(dist, 'cli.js') },
    fix: 'Install LoRA Workbench again, or run npm run build.',
  });
}

function isNeeded({ path: name }: SentSource): boolean {
  const [first = '', ...rest] = name.split('/');
  if (rest.length === 0) return NEEDED.test(first);
  return first in NEEDED_FOLDERS && NEEDED_FOLDERS[first as keyof typeof NEEDED_FOLDERS].test(name);
}

async function filesBelow(folder: string, prefix: string): Promise<SentSource[]> {
  const files: SentSource[] = [];
  const names = (await listFolder(folder)).map(({ name }) => name).sort();
  for (const name of names) {
    const source = path.join(folder, name);
    if ((await stat(source)).isDirectory())
      files.push(...(await filesBelow(source, `${prefix}${name}/`)));
    else files.push({ path: `${prefix}${name}`, source });
  }
  return files;
}
