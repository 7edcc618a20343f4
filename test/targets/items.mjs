// The items of a job, as a command line sends them.
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';

const root = path.resolve(import.meta.dirname, '../..');
const sha256 = (data) => createHash('sha256').update(data).digest('hex');

/** What an engine on Linux needs of dist/. */
const ENGINE =
  /^(?:(?:cli|worker|probe|storage|tfjs-node|tfjs-wasm|tfjs-backend-wasm.*)\.js|.*\.wasm|lib\/.*|binding\/.*)$/;

/** All files of a folder that fit, as one item. */
export function itemOf(label, folder, fits = /./) {
  const files = readdirSync(folder, { recursive: true })
    .map((name) => name.replaceAll(path.sep, '/'))
    .filter((name) => fits.test(name) && statSync(path.join(folder, name)).isFile())
    .sort()
    .map((name) => {
      const source = path.join(folder, name);
      const content = readFileSync(source);
      return { path: name, source, size: content.length, sha256: sha256(content) };
    });
  const names = files.map((file) => [file.path, file.sha256]);
  return { id: sha256(JSON.stringify(names)).slice(0, 32), label, files };
}

export const engineItem = () => itemOf('engine', path.join(root, 'dist'), ENGINE);
