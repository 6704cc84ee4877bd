"""Validates, writes, answers."""

from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from tools.bench.peers.drf_sync.models import Registration
from tools.bench.peers.drf_sync.serializers import RegistrationSerializer


class RegisterView(APIView):
    """Registers a phone number."""

    def post(self, request: Request) -> Response:
        """Write the registration in one upsert, committed before the answer."""
        serializer = RegistrationSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        registration = Registration(phone_number=serializer.validated_data["phone_number"])
        Registration.objects.bulk_create(
            [registration],
            update_conflicts=True,
            unique_fields=["phone_number"],
            update_fields=["updated_at"],
        )
        return Response({"id": registration.pk, "status": "Registered"}, status=status.HTTP_201_CREATED)
