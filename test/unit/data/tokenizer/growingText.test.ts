import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { createTokenizer } from '../../../../src/data/tokenizer/createTokenizer';
import { GrowingText } from '../../../../src/data/tokenizer/growingText';
import { openBase } from '../../../../src/formats/openBase';
import { createRandom } from '../../../../src/shared/random';
import { fixtures } from '../../../support/models';

const TEXT =
  ' Naïve – 12 € for "tea" , isn\'t it ? 日本語 🙂🙂 \n\n  def f(x):\n\treturn [x , x] .  <s> ok\n';

describe('the text of tokens that become more', () => {
  it.each(['llama', 'gemma', 't5', 'bert'])('is that of all of them: %s', async (family) => {
    const base = await openBase(path.join(fixtures, family, 'base'));
    const tokenizer = createTokenizer(await base.readTokenizer());
    await base.close();
    const random = createRandom(2, 'ids');
    const drawn = Array.from({ length: 300 }, () => Math.floor(random() * tokenizer.vocab_size));
    const ids = [...Array.from({ length: 6 }, () => tokenizer.encode(TEXT)).flat(), ...drawn];
    for (const skips of [false, true]) {
      const text = new GrowingText((own) => tokenizer.decode(own, skips));
      for (let count = 1; count <= ids.length; count++) {
        const own = ids.slice(0, count);
        expect(text.of(own), `${count} tokens`).toBe(tokenizer.decode(own, skips));
      }
    }
  });

  it('decodes few tokens again', () => {
    let most = 0;
    const text = new GrowingText((own) => {
      most = Math.max(most, own.length);
      return own.map((id) => String.fromCharCode(97 + id)).join('');
    });
    const ids: number[] = [];
    for (let i = 0; i < 2000; i++) {
      ids.push(i % 26);
      text.of(ids);
    }
    expect(most).toBeLessThan(100);
  });

  it('is read anew where a token changes what is before it', () => {
    const decode = (own: readonly number[]) =>
      own.reduce((text, id) => (id === 0 ? text.slice(0, -1) : text + String(id)), '');
    const text = new GrowingText(decode);
    const ids: number[] = [];
    for (let i = 0; i < 200; i++) {
      ids.push(i % 50 === 49 || i % 50 === 48 ? 0 : 1 + (i % 9));
      expect(text.of(ids)).toBe(decode(ids));
    }
  });
});
