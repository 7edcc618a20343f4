import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  createFile,
  createFolder,
  replaceFile,
  createFileWithCompanions,
  replaceFolder,
  withRetries,
  writeJson,
} from '../../../src/common/atomicWrite';
import { LoraError } from '../../../src/shared/errors';
import { temp } from '../../support/temp';

const failure = (code: string) => Object.assign(new Error(code), { code });

describe('replacing a folder', () => {
  it('keeps only the new files', async () => {
    const folder = path.join(temp(), 'a');
    await replaceFolder(folder, (t) => {
      writeFileSync(path.join(t, 'old'), '1');
      return Promise.resolve();
    });
    await replaceFolder(folder, (t) => {
      writeFileSync(path.join(t, 'new'), '2');
      return Promise.resolve();
    });
    expect([readdirSync(folder), readdirSync(path.dirname(folder))]).toEqual([['new'], ['a']]);
  });

  it('keeps the old folder when the new one cannot be written', async () => {
    const folder = path.join(temp(), 'a');
    await replaceFolder(folder, (t) => {
      writeFileSync(path.join(t, 'old'), '1');
      return Promise.resolve();
    });
    await expect(
      replaceFolder(folder, () => Promise.reject(failure('ENOSPC'))),
    ).rejects.toMatchObject({
      area: 'disk',
      message: expect.stringContaining('the disk is full') as string,
    });
    expect([readdirSync(folder), readdirSync(path.dirname(folder))]).toEqual([['old'], ['a']]);
  });
});

describe('replacing a file', () => {
  it('keeps the old file when writing fails', async () => {
    const file = path.join(temp(), 'a');
    await replaceFile(file, async (handle) => {
      await handle.write('one');
    });
    await expect(
      replaceFile(file, async (handle) => {
        await handle.write('tw');
        throw failure('EIO');
      }),
    ).rejects.toMatchObject({ area: 'disk', place: { file } });
    expect(readFileSync(file, 'utf8')).toBe('one');
    expect(readdirSync(path.dirname(file))).toEqual(['a']);
  });

  it('rethrows a LoraError unchanged', async () => {
    const error = new LoraError('cancelled', 'Stopped.');
    const file = path.join(temp(), 'a');
    await expect(replaceFile(file, () => Promise.reject(error))).rejects.toBe(error);
    expect(readdirSync(path.dirname(file))).toEqual([]);
  });

  it('supports concurrent writes of one file', async () => {
    const file = path.join(temp(), 'a');
    const texts = Array.from({ length: 9 }, (_, i) => String(i).repeat(100_000));
    await Promise.all(texts.map((text) => replaceFile(file, text)));
    expect(texts).toContain(readFileSync(file, 'utf8'));
    expect(readdirSync(path.dirname(file))).toEqual(['a']);
  });

  it("describes the failure with the caller's message", async () => {
    const file = path.join(temp(), 'none', 'a');
    const describeFailure = (reason: string) => ({ message: `No notes: ${reason}.`, fix: 'Look.' });
    await expect(replaceFile(file, 'text', describeFailure)).rejects.toMatchObject({
      area: 'disk',
      message: 'No notes: its folder does not exist.',
      fix: 'Look.',
      place: { file },
      cause: { code: 'ENOENT' },
    });
  });

  it('writes indented JSON with a final newline', async () => {
    const file = path.join(temp(), 'a.json');
    await writeJson(file, { a: [1] });
    expect(readFileSync(file, 'utf8')).toBe('{\n  "a": [\n    1\n  ]\n}\n');
  });

  it('reports why it failed', async () => {
    await expect(
      replaceFile(path.join(temp(), 'none', 'a'), () => Promise.resolve()),
    ).rejects.toThrow(/does not exist/);
    expect(existsSync('none')).toBe(false);
  });
});

describe('creating', () => {
  const taken = {
    area: 'usage',
    message:
      'Something with the name of the output appeared in the meantime, and is left as it is.',
  };

  it('a file: only the first of several writers has it', async () => {
    const file = path.join(temp(), 'a');
    const texts = ['one', 'two', 'three'];
    const results = await Promise.allSettled(texts.map((text) => createFile(file, text)));
    const done = texts.filter((_, i) => results[i]!.status === 'fulfilled');
    expect(done).toEqual([readFileSync(file, 'utf8')]);
    expect(readdirSync(path.dirname(file))).toEqual(['a']);
    await expect(createFile(file, 'four')).rejects.toMatchObject({ ...taken, place: { file } });
    expect(readFileSync(file, 'utf8')).toBe(done[0]);
  });

  const fillWith = (name: string, meanwhile: () => void) => (folder: string) => {
    writeFileSync(path.join(folder, name), name);
    meanwhile();
    return Promise.resolve();
  };

  it('a folder takes the place of nothing that appeared meanwhile', async () => {
    const folder = path.join(temp(), 'a');
    const other = () => {
      mkdirSync(folder);
      writeFileSync(path.join(folder, 'other'), '');
    };
    await expect(createFolder(folder, fillWith('own', other))).rejects.toMatchObject(taken);
    expect([readdirSync(folder), readdirSync(path.dirname(folder))]).toEqual([['other'], ['a']]);
  });

  it('a folder takes the place of an empty one, also through a link, and of no file', async () => {
    const parent = temp();
    const [folder, linked, file] = ['a', 'b', 'c'].map((name) => path.join(parent, name));
    mkdirSync(folder!);
    symlinkSync(folder!, linked!);
    await createFolder(
      linked!,
      fillWith('own', () => undefined),
    );
    expect([readdirSync(folder!), readdirSync(parent)]).toEqual([['own'], ['a', 'b']]);
    writeFileSync(file!, 'text');
    await expect(
      createFolder(
        file!,
        fillWith('own', () => undefined),
      ),
    ).rejects.toMatchObject(taken);
    expect(readFileSync(file!, 'utf8')).toBe('text');
  });

  it('a file with companions replaces neither a file that appeared nor its companions', async () => {
    const parent = temp();
    const file = path.join(parent, 'b.gguf');
    const other = () => {
      for (const name of ['b.gguf', 'b.json']) writeFileSync(path.join(parent, name), 'other');
    };
    const fill = async (folder: string) => {
      await fillWith('b.json', () => undefined)(folder);
      await fillWith('b.gguf', other)(folder);
    };
    await expect(createFileWithCompanions(file, fill)).rejects.toMatchObject(taken);
    expect(
      readdirSync(parent).map((name) => readFileSync(path.join(parent, name), 'utf8')),
    ).toEqual(['other', 'other']);
  });
});

describe('creating a file and its companions', () => {
  it('moves the companion files and the main file', async () => {
    const folder = temp();
    await createFileWithCompanions(path.join(folder, 'b.gguf'), (t) => {
      for (const name of ['a.json', 'b.gguf', 'c']) writeFileSync(path.join(t, name), name);
      return Promise.resolve();
    });
    expect(readdirSync(folder)).toEqual(['a.json', 'b.gguf', 'c']);
    expect(readFileSync(path.join(folder, 'b.gguf'), 'utf8')).toBe('b.gguf');
  });

  it('leaves no file when the main file is missing', async () => {
    const folder = temp();
    const file = path.join(folder, 'b.gguf');
    await expect(
      createFileWithCompanions(file, (t) => {
        writeFileSync(path.join(t, 'a.json'), '');
        return Promise.resolve();
      }),
    ).rejects.toMatchObject({ area: 'disk', place: { file }, cause: { code: 'ENOENT' } });
    expect(readdirSync(folder)).toEqual([]);
  });
});

describe('a rename on Windows', () => {
  const failing = (times: number, code: string) => {
    let calls = 0;
    return {
      action: () => (++calls <= times ? Promise.reject(failure(code)) : Promise.resolve(calls)),
      calls: () => calls,
    };
  };

  it('is repeated while another process has the target open', async () => {
    expect(await withRetries(failing(3, 'EPERM').action, 'win32')).toBe(4);
  });

  it('fails at once for other reasons, and on other systems', async () => {
    for (const [code, platform] of [
      ['ENOENT', 'win32'],
      ['EPERM', 'linux'],
    ] as const) {
      const { action, calls } = failing(1, code);
      await expect(withRetries(action, platform)).rejects.toThrow(code);
      expect(calls()).toBe(1);
    }
  });
});
