/**
 * Whether a path leads to a server (\\server\share or //server/share) or a device of Windows.
 * Accessing one sends the user's credentials to the author of the path.
 */
export const isRemotePath = (value: string): boolean => /^[\\/]{2}/.test(value);
