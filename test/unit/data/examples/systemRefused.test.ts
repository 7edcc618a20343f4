import { expect, it } from 'vitest';
import type { Row } from '../../../../src/data/rows/row';
import { ROW_SETTINGS } from '../../../../src/data/rows/settings';
import { smallTokenizer } from '../../../support/datasets';
import { tokenizeRows } from '../../../support/scannedRows';

const row: Row & { kind: 'messages' } = {
  kind: 'messages',
  line: 1,
  messages: [
    { role: 'system', content: 's' },
    { role: 'user', content: 'q' },
    { role: 'assistant', content: 'a' },
  ],
};

/** What comes of a chat whose template does something at a system message. */
const examined = (atSystem: string) =>
  tokenizeRows('f', [row], {
    tokenizer: smallTokenizer({
      chat_template: `{% for m in messages %}{% if m.role == 'system' %}${atSystem}{% endif %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}`,
    }),
    max_length: 64,
    labels: 'assistant',
    rows: { ...ROW_SETTINGS, chats: { ...ROW_SETTINGS.chats, system_refused: 'fold' } },
  });

it('a system message is folded where the template refuses it', () => {
  const { examples, problems } = examined("{{ raise_exception('no system') }}");
  expect(examples).toHaveLength(1);
  expect(problems).toMatchObject([{ severity: 'warning' }]);
});

it.each([
  ['fails', '{{ m.content + 1 }}', 'The chat template fails'],
  ['exceeds its budget', "{{ 'x' * 10000000000 }}", 'The chat template is stopped'],
])('a system message is not folded where the template %s', (_, atSystem, message) => {
  const { examples, problems } = examined(atSystem);
  expect(examples).toHaveLength(0);
  expect(problems).toMatchObject([
    { severity: 'error', message: expect.stringContaining(message) as unknown },
  ]);
});
