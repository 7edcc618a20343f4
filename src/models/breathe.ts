/** Lets the thread answer messages between two long operations. */
export const breathe = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
