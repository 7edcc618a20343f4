import { describe, expect, it } from 'vitest';
import { StopRequests } from '../../../src/engine/stopSignal';

const received = (requestsToEnd: number, ...times: readonly number[]) => {
  const requests = new StopRequests(requestsToEnd);
  return times.map((time) => requests.receive(time));
};

describe('StopRequests', () => {
  it('ends a training at the third request only', () => {
    expect(received(3, 0, 5_000, 9_000)).toEqual(['stop', 'again', 'end']);
  });

  it('ends other commands at the second', () => {
    expect(received(2, 0, 5_000)).toEqual(['stop', 'end']);
  });

  it('takes signals at the same moment as one: npm passes on what the terminal sends', () => {
    expect(received(2, 100, 101, 150, 5_000)).toEqual(['stop', 'repeated', 'repeated', 'end']);
  });
});
