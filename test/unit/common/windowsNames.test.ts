import { expect, it } from 'vitest';
import { isDeviceOfWindows, isTroubleOnWindows } from '../../../src/common/windowsNames';

it.each(['CON', 'nul.txt', 'aux.lora.json', 'Com1', 'LPT9.gguf', 'COM¹', 'con .txt', 'CONIN$'])(
  '%s is a device',
  (name) => {
    expect(isDeviceOfWindows(name)).toBe(true);
    expect(isTroubleOnWindows(name)).toBe(true);
  },
);

it.each(['adapter.', 'adapter ', 'a:b', 'a|b', 'what?', 'a\tb', '<a>'])('%j is trouble', (name) => {
  expect(isTroubleOnWindows(name)).toBe(true);
});

it.each(['console', 'null.txt', 'com10', 'auxiliary', 'Übung 1', '.lora', 'a.con', 'com'])(
  '%s is a good name',
  (name) => {
    expect(isTroubleOnWindows(name)).toBe(false);
  },
);
