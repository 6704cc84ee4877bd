# A UUID version 7: its time lets the site answer sooner. From util-linux 2.41 on: uuidgen -7
ms=$(date +%s%3N)
key=$(printf '%08x-%04x-7%03x-8%03x-%04x%04x%04x' $((ms >> 16)) $((ms & 65535)) \
  $((RANDOM & 4095)) $((RANDOM & 4095)) $RANDOM $RANDOM $RANDOM)

curl -i http://127.0.0.1:8000/api/register/ \
  -H 'Content-Type: application/json' \
  -H "Idempotency-Key: $key" \
  -d '{"phone_number": "۰۹۱۲ ۳۴۵ ۶۷۸۹"}'
