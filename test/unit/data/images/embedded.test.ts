import { expect, it } from 'vitest';
import { readImageFile } from '../../../../src/data/images/reader';

it('an image within a text that cannot be read is told from others by its length', async () => {
  const head = 'data:image/png;base64,';
  const [first, second] = ['iVBORw0KGgo=', 'R0lGODlhAQABAAAAACw='].map((own) => head + own);
  await expect(readImageFile(first!)).rejects.toThrow(`${head}… (34 characters)`);
  await expect(readImageFile(second!)).rejects.toThrow(`${head}… (42 characters)`);
});
