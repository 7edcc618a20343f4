/**
 * The path in the address of a text that is shown for a file or folder. A path of Windows begins
 * with a drive, or with two slashes, which would be taken for the name of a server.
 */
export const documentPath = (place: string): string =>
  `/${place
    .split(/[\\/]+/)
    .filter(Boolean)
    .join('/')}.txt`;
