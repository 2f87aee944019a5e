import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    testTimeout: 60_000,
    hookTimeout: 60_000,
    setupFiles: ['./test/helpers/wiped-memory.ts'],
    globalSetup: ['./test/helpers/global-setup.ts'],
    pool: 'forks',
    maxWorkers: 4, // they wait for servers and processes more than they compute
    reporters: ['default', './test/helpers/summary-reporter.ts'],
  },
});
