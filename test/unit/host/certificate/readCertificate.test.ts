import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { expect, it } from 'vitest';
import { MAX_BYTES } from '../../../../src/common/regularFile';
import { readCertificate } from '../../../../src/host/certificate/readCertificate';
import { temp } from '../../../support/temp';

const CERTIFICATE = {
  version: 1,
  created: '2025-01-01T00:00:00.000Z',
  formula: 'W + BA',
  scale: 1,
  dtype: 'float32',
  base: 'base',
  adapters: ['adapter'],
  inputs: [],
  outputs: [],
  untied: false,
  tensors: [],
  parity: null,
};

it('reads a certificate, but not one that is larger than any', async () => {
  const file = path.join(temp(), 'merge.json');
  const text = JSON.stringify(CERTIFICATE);
  writeFileSync(file, text.padEnd(MAX_BYTES.runRecord));
  expect(await readCertificate(file)).toMatchObject(CERTIFICATE);
  writeFileSync(file, text.padEnd(MAX_BYTES.runRecord + 1));
  await expect(readCertificate(file)).rejects.toMatchObject({ area: 'adapter', place: { file } });
});
