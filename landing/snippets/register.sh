curl -i http://127.0.0.1:8000/api/register/ \
  -H 'Content-Type: application/json' \
  -H "Idempotency-Key: signup-$(date +%s%N)" \
  -d '{"phone_number": "۰۹۱۲ ۳۴۵ ۶۷۸۹"}'
