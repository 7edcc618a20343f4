import { expect, it } from 'vitest';
import { strftime } from '../../../../src/data/chat/strftime';

const evening = new Date(2009, 1, 3, 17, 4, 6); // a Tuesday
const midnight = new Date(2024, 10, 24, 0, 30, 0); // a Sunday

it.each([
  ['%Y-%m-%d', '2009-02-03', '2024-11-24'],
  ['%y', '09', '24'],
  ['%-y %-m %-d', '9 2 3', '24 11 24'],
  ['%H:%M:%S', '17:04:06', '00:30:00'],
  ['%I %p', '05 PM', '12 AM'],
  ['%-I %-H %-M', '5 17 4', '12 0 30'],
  ['%A %a', 'Tuesday Tue', 'Sunday Sun'],
  ['%B %b', 'February Feb', 'November Nov'],
  ['100%% %Q %-Q', '100% %Q %-Q', '100% %Q %-Q'],
])('formats %s as Python does', (format, first, second) => {
  expect(strftime(evening, format)).toBe(first);
  expect(strftime(midnight, format)).toBe(second);
});

it('formats noon as 12 PM', () => {
  expect(strftime(new Date(2024, 0, 1, 12, 0, 0), '%I %p')).toBe('12 PM');
  expect(strftime(new Date(2024, 0, 1, 11, 59, 0), '%I %p')).toBe('11 AM');
});

it('knows every month and day', () => {
  const months = Array.from({ length: 12 }, (_, i) => strftime(new Date(2024, i, 1), '%B %b'));
  expect(months.join(', ')).toBe(
    'January Jan, February Feb, March Mar, April Apr, May May, June Jun, July Jul, August Aug, ' +
      'September Sep, October Oct, November Nov, December Dec',
  );
  const days = Array.from({ length: 7 }, (_, i) => strftime(new Date(2024, 8, 1 + i), '%A'));
  expect(days.join(' ')).toBe('Sunday Monday Tuesday Wednesday Thursday Friday Saturday');
});
