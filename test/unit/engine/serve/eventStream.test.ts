import type { ServerResponse } from 'node:http';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { EventStream } from '../../../../src/engine/serve/http/eventStream';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

function opened() {
  const writes: string[] = [];
  const ended: number[] = [];
  const onClose: (() => void)[] = [];
  const response = {
    headersSent: false,
    destroyed: false,
    writableLength: 0,
    writeHead: () => (response.headersSent = true),
    write: (text: string) => writes.push(text),
    end: () => ended.push(writes.length),
    once: (_: string, listener: () => void) => onClose.push(listener),
    destroy: () => (response.destroyed = true),
  };
  const stream = new EventStream(response as unknown as ServerResponse);
  return { stream, response, writes, ended, close: () => onClose.forEach((own) => own()) };
}

describe('events', () => {
  it('are written at once, and together where they follow soon', () => {
    const { stream, writes, ended } = opened();
    stream.send({ a: 1 });
    expect(writes).toEqual(['data: {"a":1}\n\n']);
    stream.send({ a: 2 });
    stream.send({ a: 3 }, { a: 4 });
    expect(writes).toHaveLength(1);
    vi.advanceTimersByTime(17);
    expect(writes.slice(1)).toEqual(['data: {"a":2}\n\ndata: {"a":3}\n\ndata: {"a":4}\n\n']);
    vi.advanceTimersByTime(1000);
    stream.send({ a: 5 });
    expect(writes).toHaveLength(3);
    stream.send({ a: 6 });
    stream.end();
    expect(writes.at(-1)).toBe('data: {"a":6}\n\ndata: [DONE]\n\n');
    expect(ended).toEqual([4]);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('end without the mark of a whole answer after an error', () => {
    const { stream, writes, ended } = opened();
    stream.send({ a: 1 });
    stream.send({ error: {} });
    stream.close();
    expect(writes).toEqual(['data: {"a":1}\n\n', 'data: {"error":{}}\n\n']);
    expect(ended).toEqual([2]);
  });

  it('are no longer written once the client is gone, or reads too slowly', () => {
    const gone = opened();
    gone.stream.send({ a: 1 });
    gone.stream.send({ a: 2 });
    gone.response.destroyed = true;
    gone.close();
    expect(vi.getTimerCount()).toBe(0);
    gone.stream.end();
    expect(gone.writes).toHaveLength(1);

    const slow = opened();
    slow.response.writableLength = (8 << 20) + 1;
    slow.stream.send({ a: 1 });
    expect(slow.response.destroyed).toBe(true);
  });
});
