// The page in a real browser, served by a real supervisor: what is up, what is away, and the supervisor gone and back.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { browserMissing, startBrowser } from '../helpers/browser.ts';
import { boxConfig, exchange, onlyForward } from '../helpers/forwards-world.ts';
import { freePort } from '../helpers/ports.ts';
import { sshdMissing, startSshd } from '../helpers/sshd.ts';
import { startTarget, uppercase } from '../helpers/targets.ts';
import { createWorld, processEnd } from '../helpers/world.ts';

const withBrowser = test.skipIf(sshdMissing() !== null || browserMissing() !== null);

withBrowser(
  'the page shows tunnels as they are, and a supervisor that was killed and came back',
  async () => {
    await using target = await startTarget(uppercase);
    await using sshd = await startSshd();
    await using world = createWorld();
    const port = await freePort();
    const tunnels = `  db: { host: box, local: auto, remote: ${target.port}, open: "http://{address}/" }
  strange: { host: box, local: auto, remote: 9, host_keys: strict, host_key_alias: nobody, tags: [x] }`;
    world.config(`metrics: ${port}\n${boxConfig(sshd, tunnels)}`);
    await world.run(['up']);
    expect((await fetch(`http://127.0.0.1:${port}/`)).status, 'the page is not asked for').toBe(404);
    const config = `metrics: { listen: ${port}, page: true }\n${boxConfig(sshd, tunnels)}`;
    writeFileSync(join(world.folder, 'tunnels.yaml'), config);
    expect(await world.run(['reload'])).toMatchObject({ code: 0 });
    const { listen } = onlyForward(await world.tunnel('db'));

    const browser = await startBrowser();
    try {
      const page = await browser.newPage();
      page.setDefaultTimeout(40_000);
      const complaints: string[] = [];
      page.on('console', (message) => complaints.push(message.text()));
      page.on('pageerror', ({ message }) => complaints.push(message));
      await page.goto(`http://127.0.0.1:${port}/`);
      const db = page.getByRole('listitem', { name: 'db' }).first();
      const strange = page.getByRole('listitem', { name: 'strange' }).first();
      await db.getByText('up', { exact: true }).waitFor();
      await strange.getByText('needs you').waitFor();
      const { error } = await world.tunnel('strange');
      expect(await strange.locator('.why code').textContent()).toBe(error?.hint);
      expect(await page.locator('#tunnels > li h2').allTextContents(), 'what needs somebody first').toEqual([
        'strange',
        'db',
      ]);
      expect(await db.getByRole('link', { name: 'Open' }).getAttribute('href')).toBe(`http://${listen}/`);
      expect(complaints, 'nothing that the policy does not let').toEqual([]);

      expect((await exchange(listen, 'hello')).text).toBe('HELLO');
      await db.getByText('5 B in').waitFor();
      await db.getByRole('img', { name: /^Throughput of the last ten minutes: .* at most/ }).waitFor();
      await page.keyboard.press('Tab');
      expect(await page.evaluate('document.activeElement.getAttribute("aria-label")')).toBe(
        'Copy the command',
      );

      const { supervisor } = await world.status();
      process.kill(supervisor.pid ?? 0, 'SIGKILL');
      await processEnd(supervisor.pid ?? 0);
      await page.getByRole('status').getByText('Lost the supervisor').waitFor();
      await world.run(['up']);
      await page.getByRole('status').getByText('live').waitFor();
      await db.getByText('up', { exact: true }).waitFor();
      await world.run(['down', 'db']);
      await db.getByText('down', { exact: true }).waitFor();
    } finally {
      await browser.close();
    }
  },
);
