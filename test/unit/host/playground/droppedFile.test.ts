import { pathToFileURL } from 'node:url';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { droppedFile } from '../../../../src/host/playground/droppedFile';

describe('a dropped file', () => {
  const file = path.resolve('my photos', 'ä#1.png');
  const address = pathToFileURL(file).href;
  const remote = address.replace('file://', 'vscode-remote://ssh-remote%2Bhost');

  it('is one of the computer on which the extension runs', () => {
    expect(droppedFile(address, false)).toBe(file);
    expect(droppedFile(remote, true)).toBe(file);
  });

  it.each([
    [remote, false],
    [address, true],
    ['https://example.org/a.png', false],
    ['file:///%2Fa.png', false],
    ['a.png', false],
  ])('of another place is none: %s', (uri, isRemote) => {
    expect(droppedFile(uri, isRemote)).toBeNull();
  });
});
