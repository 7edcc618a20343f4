import { describe, expect, it } from 'vitest';
import { partsOfEvent } from '../../../../src/host/chatModels/chatAnswer';
import {
  chatBody,
  countedTexts,
  type ChatMessage,
} from '../../../../src/host/chatModels/chatRequest';

const settings = { tools: [], mustCall: false, options: {}, variables: {}, most: 100 };
const user: ChatMessage = { role: 'user', parts: [{ kind: 'text', text: 'What time is it?' }] };
const call = { kind: 'call', id: 'c1', name: 'now', input: { zone: 'UTC' } } as const;

describe('a request of the chat', () => {
  it('has calls of tools and their results as messages of their own', () => {
    const messages: readonly ChatMessage[] = [
      { role: 'system', parts: [{ kind: 'text', text: 'Be brief.' }] },
      user,
      { role: 'assistant', parts: [{ kind: 'text', text: 'Wait.' }, call] },
      {
        role: 'user',
        parts: [
          { kind: 'result', id: 'c1', text: '12:00' },
          { kind: 'text', text: 'Well?' },
        ],
      },
    ];
    expect(chatBody(messages, settings)['messages']).toEqual([
      { role: 'system', content: 'Be brief.' },
      { role: 'user', content: 'What time is it?' },
      {
        role: 'assistant',
        content: 'Wait.',
        tool_calls: [
          { id: 'c1', type: 'function', function: { name: 'now', arguments: '{"zone":"UTC"}' } },
        ],
      },
      { role: 'tool', tool_call_id: 'c1', content: '12:00' },
      { role: 'user', content: 'Well?' },
    ]);
    expect(messages.flatMap(countedTexts)).toEqual([
      ...['Be brief.', 'What time is it?', 'Wait.', 'now', '{"zone":"UTC"}', '12:00', 'Well?'],
    ]);
  });

  it('passes tools, options that the server reads, and the variables of the template', () => {
    const tools = [{ name: 'now', description: 'The time.' }];
    const options = { temperature: 0, frequency_penalty: 1, max_tokens: 7, _ofTheHost: true };
    const body = chatBody([user], { ...settings, tools, options, variables: { think: false } });
    expect(body).toMatchObject({
      temperature: 0,
      frequency_penalty: 1,
      max_tokens: 7,
      chat_template_kwargs: { think: false },
      tools: [
        {
          type: 'function',
          function: {
            name: 'now',
            description: 'The time.',
            parameters: { type: 'object', properties: {} },
          },
        },
      ],
    });
    expect(body).not.toHaveProperty('_ofTheHost');
    expect(chatBody([user], settings)).toMatchObject({ max_tokens: 100 });
    expect(chatBody([user], settings)).not.toHaveProperty('tools');
  });

  it('demands a call where the host does', () => {
    const tools = [{ name: 'now', description: 'The time.' }];
    expect(chatBody([user], { ...settings, tools, mustCall: true })).toMatchObject({
      tool_choice: 'required',
    });
    expect(chatBody([user], { ...settings, tools })).not.toHaveProperty('tool_choice');
  });

  it('refuses images, and a call that is demanded without a tool', () => {
    const image: ChatMessage = { role: 'user', parts: [{ kind: 'image' }] };
    expect(() => chatBody([image], settings)).toThrow('The model reads text only, no images.');
    expect(() => chatBody([user], { ...settings, mustCall: true })).toThrow(
      'A tool call is required, but there are no tools.',
    );
  });
});

describe('an event of an answer', () => {
  const event = (delta: object) => ({ choices: [{ index: 0, delta }] });

  it('adds text and calls, but no reasoning', () => {
    expect(partsOfEvent(event({ content: 'It is' }))).toEqual([{ kind: 'text', text: 'It is' }]);
    const own = { name: 'now', arguments: '{"zone":"UTC"}' };
    expect(
      partsOfEvent(
        event({ tool_calls: [{ index: 0, id: 'c1', type: 'function', function: own }] }),
      ),
    ).toEqual([call]);
    for (const none of [event({ reasoning_content: 'Hm' }), event({ role: 'assistant' }), {}])
      expect(partsOfEvent(none)).toEqual([]);
  });

  it('is refused with a call that is none', () => {
    expect(() => partsOfEvent(event({ tool_calls: [{ id: 1 }] }))).toThrow(
      'The model process ended unexpectedly.',
    );
  });
});
