import { stat } from 'node:fs/promises';
import path from 'node:path';
import * as v from 'valibot';
import { readJsonObject } from '../../formats/json';
import { LoraError } from '../../shared/errors';
import { CERTIFICATE, CertificateSchema } from './certificate';
import { certificateName } from './ggufTarget';
import { sha256Of } from './mergeModel';

export interface Verified {
  readonly file: string;
  readonly state: 'same' | 'changed' | 'gone';
}

/** Holds a merged model (a folder or a .gguf file), and what it was made of, against its certificate. Errors: LoraError where there is none. */
export async function verifyMerge(model: string, signal: AbortSignal): Promise<{ readonly outputs: readonly Verified[]; readonly inputs: readonly Verified[] }> {
  const isFile = model.endsWith('.gguf');
  const folder = isFile ? path.dirname(model) : model;
  const file = path.join(folder, isFile ? certificateName(path.basename(model)) : CERTIFICATE);
  if (!await stat(file).then(() => true, () => false)) throw new LoraError('usage', `This is no merged model: it has no ${path.basename(file)}.`, { place: { file: model }, fix: 'Name the folder or .gguf file that lora merge wrote.' });
  const parsed = v.safeParse(CertificateSchema, await readJsonObject(file, 'usage'));
  if (!parsed.success) throw new LoraError('usage', 'The certificate cannot be read.', { place: { file }, fix: 'Merge again.' });
  const { outputs, inputs } = parsed.output;
  for (const { file: name } of outputs) if (path.basename(name) !== name) throw new LoraError('usage', `The certificate names the file ${JSON.stringify(name)}, which does not lie in its folder.`, { place: { file } });
  const check = async (target: string, sha256: string): Promise<Verified> => {
    if (!await stat(target).then((found) => found.isFile(), () => false)) return { file: target, state: 'gone' };
    return { file: target, state: await sha256Of(target, signal) === sha256 ? 'same' : 'changed' };
  };
  const all = async (list: readonly { readonly file: string; readonly sha256: string }[], at: (name: string) => string) => {
    const done: Verified[] = [];
    for (const { file: name, sha256 } of list) done.push(await check(at(name), sha256));
    return done;
  };
  return { outputs: await all(outputs, (name) => path.join(folder, name)), inputs: await all(inputs, (name) => name) };
}
