import { expect, it } from 'vitest';
import { measured } from './usage';

it('measures the memory that a piece of work takes, even if it is free again', async () => {
  const { memory } = await measured(async () => {
    const large = Buffer.alloc(200e6, 1);
    await Promise.resolve();
    expect(large.at(-1)).toBe(1);
  });
  expect(memory).toBeGreaterThan(150e6);
  expect(memory).toBeLessThan(400e6);
});

it('measures the time that the processor worked, not the time that passed', async () => {
  const waiting = await measured(async () => {
    await new Promise((resolve) => setTimeout(resolve, 300));
  });
  const working = await measured(async () => {
    const start = process.cpuUsage().user;
    while (process.cpuUsage().user < start + 300_000);
    await Promise.resolve();
  });
  expect(working.cpu).toBeGreaterThan(290);
  expect(waiting.cpu).toBeLessThan(working.cpu);
});
