// A real browser for tests of the page: Debian's chromium, without a window.
import { chromium, type Browser } from 'playwright-core';
import { toolMissing } from './forwards-world.ts';

/** Null when chromium is here; else why tests that need it are skipped. Many machines of developers have none. */
export const browserMissing = (): string | null => toolMissing('chromium');

export function startBrowser(): Promise<Browser> {
  return chromium.launch({ executablePath: '/usr/bin/chromium' });
}
