import path from 'node:path';
import { adapterFiles, detectAdapter } from '../../formats/adapterFormat';
import { LoraError } from '../../shared/errors';
import type { CertificateFile } from '../merge/certificate';
import { verifyFiles, verifyMerge } from '../merge/verify';
import { countOf } from '../../shared/values';

/**
 * Checks that the merged model and its adapters are the ones that the certificate describes.
 * @throws LoraError that names the file that differs.
 */
export async function checkInputs(
  merged: string,
  certificate: CertificateFile,
  folders: readonly string[],
  signal: AbortSignal,
): Promise<void> {
  const { outputs } = await verifyMerge(merged, signal);
  const changed = outputs.find(({ state }) => state !== 'same');
  if (changed) {
    throw new LoraError(
      'base',
      `The merged model has changed since it was written: the file is ${changed.state}.`,
      { place: { file: changed.file } },
    );
  }
  const { adapters } = certificate;
  if (folders.length !== adapters.length) {
    throw new LoraError(
      'usage',
      `${countOf(adapters.length, 'adapter')} ${adapters.length === 1 ? 'was' : 'were'} merged, but ${folders.length} ${folders.length === 1 ? 'is' : 'are'} named.`,
      { fix: 'Name all of them, in the order of the merge.' },
    );
  }
  for (const [n, folder] of folders.entries()) {
    await checkAdapter(folder, filesOfAdapter(certificate, adapters[n]!), signal);
  }
}

const filesOfAdapter = ({ inputs }: CertificateFile, adapter: string) =>
  inputs.filter(({ file }) => file === adapter || path.dirname(file) === adapter);

/** Checks an adapter, which may have moved, against the files that were merged. */
async function checkAdapter(
  folder: string,
  merged: ReturnType<typeof filesOfAdapter>,
  signal: AbortSignal,
): Promise<void> {
  const files = await adapterFiles(await detectAdapter(folder));
  const placeOf = (file: string) =>
    files.find((own) => path.basename(own) === path.basename(file)) ?? file;
  const verified = await verifyFiles(merged, placeOf, signal);
  const different = verified.find(({ state }) => state !== 'same');
  if (different || merged.length !== files.length) {
    throw new LoraError(
      'adapter',
      'This is not the adapter that was merged, or it has changed since.',
      {
        place: { file: different?.file ?? folder },
        fix: 'Choose the adapter that was merged (--adapter).',
      },
    );
  }
}
