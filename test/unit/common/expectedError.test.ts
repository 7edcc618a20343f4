import { expect, it } from 'vitest';
import { readFile } from 'node:fs/promises';
import { expectedError } from '../../../src/common/expectedError';
import { FileRefused } from '../../../src/common/regularFile';
import { LoraError } from '../../../src/shared/errors';

it('an error for the user stays as it is', () => {
  const error = new LoraError('base', 'The base is missing.');
  expect(expectedError(error)).toBe(error);
});

it('a refused file and an error of the file system are put into words', async () => {
  expect(expectedError(new FileRefused('a/.lora is a link'))?.describe()).toBe(
    'A file or folder cannot be used: a/.lora is a link.',
  );
  const missing: unknown = await readFile('no-such-file').catch((error: unknown) => error);
  expect(expectedError(missing)?.describe()).toBe(
    'no-such-file: The file cannot be used: it does not exist.',
  );
});

it('an error of the program is not expected', () => {
  expect(expectedError(new TypeError('x is not a function'))).toBeNull();
  expect(expectedError(undefined)).toBeNull();
});
