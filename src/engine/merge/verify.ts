import path from 'node:path';
import { throwIfCancelled } from '../../common/cancellation';
import { isFile } from '../../common/fileStatus';
import { hashFile } from '../../common/hashFile';
import { folderOfModel, readCertificate, type HashedFile } from './certificate';

/** A file compared with its hash in the certificate. */
export interface VerifiedFile {
  readonly file: string;
  readonly state: 'same' | 'changed' | 'gone';
}

/**
 * Compares a merged model and its inputs with its certificate.
 * @throws LoraError('usage') when there is no valid certificate; 'cancelled'.
 */
export async function verifyMerge(
  model: string,
  signal: AbortSignal,
): Promise<{
  readonly outputs: readonly VerifiedFile[];
  readonly inputs: readonly VerifiedFile[];
}> {
  const { outputs, inputs } = await readCertificate(model);
  const folder = folderOfModel(model);
  return {
    outputs: await verifyFiles(outputs, (name) => path.join(folder, name), signal),
    inputs: await verifyFiles(inputs, (name) => name, signal),
  };
}

/** Compares files with their hashes; `placeOf` returns where a file is now. */
export async function verifyFiles(
  files: readonly HashedFile[],
  placeOf: (file: string) => string,
  signal: AbortSignal,
): Promise<VerifiedFile[]> {
  const verified: VerifiedFile[] = [];
  for (const { file, sha256 } of files) {
    const place = placeOf(file);
    verified.push({ file: place, state: await stateOf(place, sha256, signal) });
  }
  return verified;
}

async function stateOf(
  file: string,
  sha256: string,
  signal: AbortSignal,
): Promise<VerifiedFile['state']> {
  if (!(await isFile(file))) {
    return 'gone';
  }
  const onBytes = () => throwIfCancelled(signal);
  return (await hashFile(file, { onBytes })) === sha256 ? 'same' : 'changed';
}
