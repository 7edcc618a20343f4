type Report = (fraction: number) => void;

/** Reading the rows takes about this share of the time; tokenizing them takes the rest. */
const READING = 0.05;

/** Reports the progress of reading the rows as a part of the whole. */
export const readPart =
  (report: Report): Report =>
  (fraction) =>
    report(READING * fraction);

/** Reports the progress of tokenizing the rows as the rest of the whole. */
export const tokenizePart =
  (report: Report): Report =>
  (fraction) =>
    report(READING + (1 - READING) * fraction);
