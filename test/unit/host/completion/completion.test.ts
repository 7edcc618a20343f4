import { describe, expect, it } from 'vitest';
import { chosenModel, isOnFor, settingOf } from '../../../../src/host/completion/chosenModel';
import {
  completionOf,
  offered,
  promptLimits,
  stopsAt,
} from '../../../../src/host/completion/completionText';
import { RequestGate } from '../../../../src/host/completion/requestGate';

describe('the gate of completions', () => {
  const never = new AbortController().signal;

  it('ends the older request at once, and has one at work at most', async () => {
    const gate = new RequestGate();
    let [atWork, most] = [0, 0];
    const signals: AbortSignal[] = [];
    const request = (answer: string) => async (signal: AbortSignal) => {
      most = Math.max(most, ++atWork);
      signals.push(signal);
      await new Promise<void>((resolve) => {
        if (answer === 'last') resolve();
        signal.addEventListener('abort', () => resolve());
      });
      atWork--;
      return answer;
    };
    const first = gate.run(never, 0, request('first'));
    await expect.poll(() => signals.length).toBe(1);
    const second = gate.run(never, 0, request('second'));
    expect(signals[0]!.aborted).toBe(true);
    await expect.poll(() => signals.length).toBe(2);
    const third = gate.run(never, 0, request('last'));
    expect(await Promise.all([first, second, third])).toEqual([null, null, 'last']);
    expect(most).toBe(1);
  });

  it('asks nothing for key presses that follow each other, or a signal that is aborted', async () => {
    const gate = new RequestGate();
    const asked: number[] = [];
    const keys = [1, 2, 3].map((key) =>
      gate.run(never, 1, () => {
        asked.push(key);
        return Promise.resolve(key);
      }),
    );
    expect(await Promise.all(keys)).toEqual([null, null, 3]);
    expect(asked).toEqual([3]);
    expect(await gate.run(AbortSignal.abort(), 60_000, () => Promise.resolve(4))).toBeNull();
  });

  it('passes on errors, unless it was ended', async () => {
    const gate = new RequestGate();
    const failed = () => Promise.reject(new Error('no'));
    await expect(gate.run(never, 0, failed)).rejects.toThrow('no');
    const ended = gate.run(never, 0, failed);
    gate.end();
    expect(await ended).toBeNull();
    expect(await gate.run(never, 0, () => Promise.resolve('again'))).toBe('again');
  });
});

describe('the text of a completion', () => {
  it('reads as much as the model has positions for', () => {
    expect(promptLimits(32_768, true)).toEqual({ before: 768, after: 256 });
    expect(promptLimits(32_768, false)).toEqual({ before: 1024, after: 0 });
    expect(promptLimits(512, true)).toEqual({ before: 240, after: 80 });
    expect(promptLimits(64, false)).toEqual({ before: 16, after: 0 });
  });

  it('ends with the line where something stands behind the cursor', () => {
    expect(stopsAt(');', true)).toEqual(['\n']);
    expect(stopsAt('  ', true)).toEqual([]);
    expect(stopsAt('', false)).toEqual(['\n\n']);
  });

  it('is offered in whole lines, without control characters', () => {
    expect(offered('a\n  b\n  c(', true)).toBe('a\n  b');
    expect(offered('a\n  b\n', false)).toBe('a\n  b');
    expect(offered('only on', true)).toBe('only on');
    expect(offered(' \n\t', false)).toBe('');
    expect(offered('a\u001b[2J\u0007b', false)).toBe('a[2Jb');
  });

  it('is read from the events of the server', () => {
    const event = { choices: [{ text: 'a', finish_reason: 'length' }] };
    expect(completionOf(event)).toEqual({ text: 'a', isCut: true });
    expect(completionOf({ choices: [] })).toEqual({ text: '', isCut: false });
    expect(completionOf({})).toEqual({ text: '', isCut: false });
  });
});

describe('the model of completions', () => {
  const writers = [{ id: '/w/.lora/runs/1/adapter' }, { id: '/models/tiny' }];

  it('is named by its place in the workspace, else by its path', () => {
    const names = writers.map((writer) => settingOf(writer, ['/v', '/w']));
    expect(names).toEqual(['.lora/runs/1/adapter', '/models/tiny']);
    for (const [i, name] of names.entries())
      expect(chosenModel(name, writers, ['/v', '/w'])).toBe(writers[i]);
    expect(chosenModel('', writers, ['/w'])).toBeUndefined();
    expect(chosenModel('.lora/runs/2/adapter', writers, ['/w'])).toBeUndefined();
  });

  it('is asked in the languages of the setting', () => {
    expect(isOnFor('python', ['python'])).toBe(true);
    expect(isOnFor('python', ['*'])).toBe(true);
    expect(isOnFor('python', [])).toBe(false);
  });
});
