/** Whether Windows takes a name for a device, with any ending: CON, nul.txt. */
export const isDeviceOfWindows = (name: string): boolean =>
  /^(?:con|prn|aux|nul|conin\$|conout\$|com[\d¹²³]|lpt[\d¹²³])(?:[. ]|$)/i.test(name);

/**
 * Whether a file name is unsafe on Windows: it is taken for a device, or other programs cannot open
 * or remove the file, though Node can create it.
 */
export const isTroubleOnWindows = (name: string): boolean =>
  isDeviceOfWindows(name) || /[. ]$/.test(name) || /[<>:"|?*\p{Cc}]/u.test(name);
