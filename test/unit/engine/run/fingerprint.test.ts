import { rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { expect, it } from 'vitest';
import { checkFingerprints, fingerprintOf } from '../../../../src/engine/run/fingerprint';
import { temp } from '../../../support/temp';

it('fingerprints detect changed and missing files', async () => {
  const file = path.join(temp(), 'data.jsonl');
  writeFileSync(file, 'abc');
  const before = await fingerprintOf(file);
  expect(before).toEqual({
    file,
    size: 3,
    sha256: 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad',
  });
  await checkFingerprints([before]);
  writeFileSync(file, 'abd');
  await expect(checkFingerprints([before])).rejects.toThrow(/has changed/);
  rmSync(file);
  await expect(checkFingerprints([before])).rejects.toThrow(/is missing/);
});
