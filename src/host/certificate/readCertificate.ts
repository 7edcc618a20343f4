import { MAX_BYTES, readTextFile } from '../../common/regularFile';
import { LoraError } from '../../shared/errors';
import { ShownCertificateSchema } from '../../shared/mergeFacts';
import { parsed } from '../../shared/parsed';
import { t } from '../text/l10n';

const asCertificate = parsed(ShownCertificateSchema);

/**
 * The certificate of a merge.
 *
 * @throws LoraError('adapter') when the file cannot be read, or is no certificate.
 */
export async function readCertificate(file: string) {
  const limits = { maxBytes: MAX_BYTES.runRecord };
  const value: unknown = await readTextFile(file, limits)
    .then((text): unknown => JSON.parse(text))
    .catch((cause: unknown) => {
      throw new LoraError('adapter', t('The file cannot be read.'), { place: { file }, cause });
    });
  const certificate = asCertificate(value);
  if (!certificate)
    throw new LoraError('adapter', t('This is not the certificate of a merge.'), {
      place: { file },
    });
  return certificate;
}
