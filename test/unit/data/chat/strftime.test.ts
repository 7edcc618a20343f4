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
  ['%d|%5d|%-5d|%_d|%05d', '03|00003|    3| 3|00003', '24|00024|   24|24|00024'],
  ['%e|%k|%l|%j|%-j', ' 3|17| 5|034|34', '24| 0|12|329|329'],
  ['%U %W %V %G %g %u %w', '05 05 06 2009 09 2 2', '47 47 47 2024 24 7 0'],
  ['%c', 'Tue Feb  3 17:04:06 2009', 'Sun Nov 24 00:30:00 2024'],
  [
    '%x %X %D %F %T %R',
    '02/03/09 17:04:06 02/03/09 2009-02-03 17:04:06 17:04',
    '11/24/24 00:30:00 11/24/24 2024-11-24 00:30:00 00:30',
  ],
  ['%r|%P|%h|%C', '05:04:06 PM|pm|Feb|20', '12:30:00 AM|am|Nov|20'],
  ['%^a %#B %#p %10a', 'TUE FEBRUARY pm        Tue', 'SUN NOVEMBER am        Sun'],
  ['%f%z%Z%n%t%', '000000\n\t%', '000000\n\t%'],
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
