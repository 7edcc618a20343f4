import path from 'node:path';
import * as v from 'valibot';
import { throwIfCancelled } from '../../common/cancellation';
import { isFile, pathExists } from '../../common/fileStatus';
import { hashFile } from '../../common/hashFile';
import { readJsonObject } from '../../formats/json';
import { LoraError } from '../../shared/errors';
import { CERTIFICATE, CertificateSchema, type HashedFile } from './certificate';
import { certificateName } from './ggufTarget';

export interface Verified {
  readonly file: string;
  readonly state: 'same' | 'changed' | 'gone';
}

/**
 * The certificate of a merged model (a folder or a .gguf file). Errors: LoraError where there is
 * none.
 */
export async function readCertificate(
  model: string,
): Promise<v.InferOutput<typeof CertificateSchema>> {
  const isGguf = model.endsWith('.gguf');
  const file = path.join(
    folderOf(model),
    isGguf ? certificateName(path.basename(model)) : CERTIFICATE,
  );
  if (!(await pathExists(file)))
    throw new LoraError('usage', `This is no merged model: it has no ${path.basename(file)}.`, {
      place: { file: model },
      fix: 'Name the folder or .gguf file that lora merge wrote.',
    });
  const parsed = v.safeParse(CertificateSchema, await readJsonObject(file, 'usage'));
  if (!parsed.success)
    throw new LoraError('usage', 'The certificate cannot be read.', {
      place: { file },
      fix: 'Merge again.',
    });
  for (const { file: name } of parsed.output.outputs)
    if (path.basename(name) !== name)
      throw new LoraError(
        'usage',
        `The certificate names the file ${JSON.stringify(name)}, which does not lie in its folder.`,
        { place: { file } },
      );
  return parsed.output;
}

const folderOf = (model: string) => (model.endsWith('.gguf') ? path.dirname(model) : model);

/**
 * Holds a merged model, and what it was made of, against its certificate. Errors: LoraError where
 * there is none.
 */
export async function verifyMerge(
  model: string,
  signal: AbortSignal,
): Promise<{ readonly outputs: readonly Verified[]; readonly inputs: readonly Verified[] }> {
  const { outputs, inputs } = await readCertificate(model);
  return {
    outputs: await verified(outputs, (name) => path.join(folderOf(model), name), signal),
    inputs: await verified(inputs, (name) => name, signal),
  };
}

/** Each file's state, one after the other. */
export async function verified(
  files: readonly HashedFile[],
  at: (name: string) => string,
  signal: AbortSignal,
): Promise<Verified[]> {
  const done: Verified[] = [];
  for (const { file, sha256 } of files) {
    const place = at(file);
    done.push({ file: place, state: await stateOf(place, sha256, signal) });
  }
  return done;
}

async function stateOf(
  file: string,
  sha256: string,
  signal: AbortSignal,
): Promise<Verified['state']> {
  if (!(await isFile(file))) return 'gone';
  const onBytes = () => throwIfCancelled(signal);
  return (await hashFile(file, { onBytes })) === sha256 ? 'same' : 'changed';
}
