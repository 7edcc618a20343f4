import { describe, expect, it } from 'vitest';
import { planDownload } from '../../../../src/engine/download/plan';

const listed = (...names: readonly string[]) =>
  names.map((path) => ({ path, size: 1, oid: 'a'.repeat(40) }));
const planned = (files: ReturnType<typeof listed>, file: string | null) =>
  planDownload(files, { repository: 'owner/model', file }).map(({ path }) => path);

describe('a .gguf model in several parts', () => {
  const parts = ['m-00001-of-00003.gguf', 'm-00002-of-00003.gguf', 'm-00003-of-00003.gguf'];

  it.each(parts)('is downloaded whole, whichever part is named: %s', (name) => {
    expect(planned(listed('other.gguf', ...parts.toReversed()), name)).toEqual(parts);
  });

  it('is refused if a part is missing', () => {
    expect(() => planned(listed(parts[0]!, parts[2]!), parts[0]!)).toThrow(
      'owner/model has no file m-00002-of-00003.gguf, which is a part of the model.',
    );
  });

  it('is suggested by its first part alone', () => {
    expect(() => planned(listed(...parts, 'small.gguf'), null)).toThrow(
      expect.objectContaining({
        fix: `Name one of its .gguf files, as in owner/model/${parts[0]!}: ${parts[0]!}, small.gguf`,
      }) as Error,
    );
  });

  it('of one file alone is that file', () => {
    expect(planned(listed('small.gguf', ...parts), 'small.gguf')).toEqual(['small.gguf']);
  });
});
