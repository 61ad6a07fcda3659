// Sends events with the Elasticsearch client for JavaScript: node send_bulk.cjs FOLDER_OF_NODE_MODULES URL EVENTS
'use strict'
const { createRequire } = require('node:module')
const [home, node, events] = process.argv.slice(2)
const { Client } = createRequire(home + '/package.json')('@elastic/elasticsearch')

async function * documents () {
  for (let number = 0; number < Number(events); number++) {
    yield { message: 'seq=' + String(number).padStart(7, '0') }
  }
}

async function main () {
  const client = new Client({ node, maxRetries: 100 })
  const info = await client.info()
  if (info.tagline !== 'You Know, for Search') throw new Error(JSON.stringify(info))
  const result = await client.helpers.bulk({
    datasource: documents(),
    onDocument: () => ({ create: { _index: 'lines' } }),
    retries: 100,
    wait: 500
  })
  if (result.failed !== 0 || result.successful !== Number(events)) throw new Error(JSON.stringify(result))
}

main().catch(error => {
  console.error(error)
  process.exit(1)
})
