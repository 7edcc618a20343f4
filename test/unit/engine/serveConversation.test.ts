import { describe, expect, it } from 'vitest';
import {
  exampleOf,
  partsForPage,
  promptOf,
  withTools,
  withTurns,
} from '../../../src/engine/serve/conversation';
import { Float } from '../../../src/shared/exactValues';
import { settings } from '../../support/served';

const TOOLS = '[{"name": "f", "parameters": {"maximum": 1.0}}]';
const chat = { ...settings, chat: true, system: 's', prompt: 'q' };

describe('a conversation that is served', () => {
  it('begins with the prompt, or is the prompt alone', () => {
    expect(promptOf({ ...chat, chat: false }, {})).toBe('q');
    expect(promptOf(chat, { a: 1 })).toEqual({
      messages: [
        { role: 'system', content: 's' },
        { role: 'user', content: 'q' },
      ],
      variables: { a: 1 },
    });
  });

  it('has images, which are files or data: URLs of images', () => {
    const images = ['/i/a.png', 'data:image/png;base64,AAAA'];
    expect(promptOf({ ...chat, system: '', images }, {})).toMatchObject({
      messages: [
        {
          content: [
            { type: 'image', image: images[0] },
            { type: 'image', image: images[1] },
            { type: 'text', text: 'q' },
          ],
        },
      ],
    });
    for (const wrong of ['https://a/b.png', 'data:text/html;base64,AAAA', 'x'.repeat(5000)])
      expect(() => promptOf({ ...chat, images: [wrong] }, {})).toThrow(/^An image (must|has)/);
    expect(() => promptOf({ ...chat, chat: false, images }, {})).toThrow(/messages of a chat/);
  });

  it('goes on with answers, calls and results, and gives a row of a dataset', () => {
    const parts = partsForPage({
      content: '',
      reasoning: 'why',
      calls: [{ name: 'f', arguments: { x: new Float(2), y: 10n ** 18n } }],
      isFaulty: false,
    });
    expect(parts.calls[0]).toMatchObject({
      id: expect.stringMatching(/^[a-zA-Z0-9]{9}$/) as string,
      arguments: '{\n  "x": 2.0,\n  "y": 1000000000000000000\n}',
    });
    const start = promptOf({ ...chat, system: '' }, withTools({}, TOOLS));
    if (typeof start === 'string') throw new Error('not a chat');
    const [{ id, name }] = parts.calls as [(typeof parts.calls)[number]];
    const result = { role: 'tool', tool_call_id: id, name, content: '7' } as const;
    const whole = withTurns(start, [{ role: 'assistant', ...parts }, result]);
    const example = exampleOf(whole, {
      text: 'Seven.',
      parts: { content: 'Seven.', reasoning: '', calls: [], faulty: false },
    });
    expect(example).toBe(
      '{"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "", ' +
        '"reasoning_content": "why", "tool_calls": [{"id": "call00001", "type": "function", ' +
        '"function": {"name": "f", "arguments": {"x": 2.0, "y": 1000000000000000000}}}]}, ' +
        '{"role": "tool", "tool_call_id": "call00001", "name": "f", "content": "7"}, ' +
        '{"role": "assistant", "content": "Seven."}], ' +
        '"tools": [{"name": "f", "parameters": {"maximum": 1.0}}]}',
    );
    expect(exampleOf('q', { text: 'a', parts: null })).toBe('{"prompt": "q", "completion": "a"}');
  });

  it('has the tools of the request, none, or those of the row', () => {
    expect(withTools({ tools: [1] }, null)).toEqual({ tools: [1] });
    expect(withTools({ tools: [1] }, ' ')).toEqual({ tools: null });
    for (const wrong of ['x', '{}', '[{}]', '[{"name": "f", "name": "g"}]'])
      expect(() => withTools({}, wrong)).toThrow(/tools/);
  });

  it('refuses calls whose arguments are no object', () => {
    const call = { id: 'call00001', name: 'f', arguments: '[1]' };
    const turn = { role: 'assistant' as const, content: '', reasoning: '', calls: [call] };
    expect(() => withTurns({ messages: [] }, [turn])).toThrow(/arguments of the call of f/);
  });
});
